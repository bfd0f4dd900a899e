"""The health checks, through the deployed entry points and their event files."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import pytest
from botocore.client import BaseClient

from parley import bootstrap, bootstrap_health
from tests.routes.conftest import Invoke


@pytest.fixture
def upstream() -> Iterator[tuple[str, list[int]]]:
    """A server's address, and the status it answers with, to be changed."""
    status = [401]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "authorization" not in self.headers
            self.send_response(status[0])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/models", status
    server.shutdown()
    server.server_close()


@pytest.fixture
def probing(services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What sets `PARLEY_MODEL_PROBE`, before anything is made of it."""
    bootstrap.services.cache_clear()
    bootstrap_health.readiness.cache_clear()
    return monkeypatch


def test_get_health_answers_everybody_without_asking_anything(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BaseClient, "_make_api_call", None)
    reply = invoke("health/get_health")
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    assert reply.headers["cache-control"] == "no-store"


def test_get_readiness_tells_that_the_tables_can_be_read(invoke: Invoke) -> None:
    reply = invoke("health/get_readiness")
    assert reply.status == 200
    assert reply.json == {"status": "ok", "checks": {"store": "ok", "model": "not_configured"}}


def test_get_readiness_names_the_store_and_nothing_of_it(
    services: bootstrap.Services, invoke: Invoke
) -> None:
    name = services.basics.tables.transient
    boto3.client("dynamodb").delete_table(TableName=name)
    reply = invoke("health/get_readiness")
    assert reply.status == 503
    checks = {"store": "unreachable", "model": "not_configured"}
    assert reply.json == {"status": "unavailable", "checks": checks}


def test_get_readiness_asks_the_model_that_is_configured_and_needs_no_key(
    probing: pytest.MonkeyPatch, invoke: Invoke, upstream: tuple[str, list[int]]
) -> None:
    url, status = upstream
    probing.setenv("PARLEY_MODEL_PROBE", url)
    assert invoke("health/get_readiness").json["checks"]["model"] == "ok"
    status[0] = 500
    bootstrap_health.readiness.cache_clear()
    reply = invoke("health/get_readiness")
    assert reply.status == 503
    assert reply.json["checks"] == {"store": "ok", "model": "unreachable"}
    assert "127.0.0.1" not in reply.text


def test_get_readiness_is_told_anew_only_after_some_seconds(
    services: bootstrap.Services, invoke: Invoke
) -> None:
    assert invoke("health/get_readiness").status == 200
    boto3.client("dynamodb").delete_table(TableName=services.basics.tables.transient)
    assert invoke("health/get_readiness").status == 200


def test_get_readiness_finds_the_embedded_model_without_loading_it(
    probing: pytest.MonkeyPatch, invoke: Invoke, loop: asyncio.AbstractEventLoop
) -> None:
    probing.setenv("PARLEY_MODEL_PROBE", "embedded")
    probing.setenv("PARLEY_EMBEDDED_GGUF", "/nowhere/model.gguf")
    assert invoke("health/get_readiness").json["checks"]["model"] == "unreachable"
