"""The streaming function's start script, run as the Lambda Web Adapter runs it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import pytest

from local import ROOT
from local.demo_catalogue import seed_catalogue
from local.environment import of_functions
from local.intrinsics import Evaluator
from local.provision import create_secrets
from local.seed import seed
from local.template import load
from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.adapters.system import SystemClock
from tests.support.aws import dynamodb_client

BUILD = ROOT / ".aws-sam" / "build"
TEMPLATE = load(ROOT / "template.yaml")
START_SECONDS = 30
REQUEST_ID = "8d6f2b1e-0b1a-4c0e-9d53-0b6a3f9f2a17"

ADAPTER_HEADERS = {
    "x-amzn-request-context": json.dumps({"requestId": REQUEST_ID, "stage": "prod"}),
    "x-amzn-lambda-context": json.dumps({"request_id": REQUEST_ID, "deadline": 1795425300000}),
}


@dataclass(frozen=True)
class Task:
    """Where the function's code lies, and what stands in for Lambda's own Python and layers."""

    root: Path
    layers: str
    python: Path


def built(function: str, *more_layers: str) -> Task:
    if not (BUILD / function).is_dir():
        pytest.skip("there is no build: `make build` makes one, and CI does before its tests")
    if sys.version_info[:2] != (3, 13):
        pytest.skip("the built wheels are for Lambda's Python 3.13, and this is another")
    names = ("DependenciesLayer", "ParleyLayer", *more_layers)
    layers = [BUILD / name / "python" for name in names]
    bare = Path(sys.base_prefix) / "bin"  # with no package but the layers'
    return Task(BUILD / function, os.pathsep.join(map(str, layers)), bare)


def source(*_: str) -> Task:
    return Task(ROOT / "functions", str(ROOT / "layers" / "parley"), Path(sys.executable).parent)


@pytest.fixture(params=[source, built], ids=["source", "built"])
def url(request: pytest.FixtureRequest, ministack_url: str, tables: Tables) -> Iterator[str]:
    """The address of the streaming function, once it is ready as the adapter sees it."""
    with serving(request.param("Streaming"), "run.sh", ministack_url, tables) as url:
        yield url


@pytest.fixture(params=[source, built], ids=["source", "built"])
def consultant(request: pytest.FixtureRequest, ministack_url: str, tables: Tables) -> Iterator[str]:
    """The same of the consultant's function, with its own layer."""
    task = request.param("Consultant", "SearchLayer")
    with serving(task, "run_consultant.sh", ministack_url, tables) as url:
        yield url


@contextmanager
def serving(task: Task, script: str, ministack_url: str, tables: Tables) -> Iterator[str]:
    provide_tenants(ministack_url, tables)
    port = free_port()
    environment = of_functions(TEMPLATE, {}, ministack_url) | {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LAMBDA_FUNCTION_NAME": "parley-streaming",
        "LAMBDA_TASK_ROOT": str(task.root),
        "PATH": f"{task.python}{os.pathsep}{os.defpath}",
        "PORT": str(port),
        "PYTHONPATH": task.layers,
    }
    readiness = f"http://127.0.0.1:{port}{environment['AWS_LWA_READINESS_CHECK_PATH']}"
    command = [task.root / "streaming" / script]
    with subprocess.Popen(command, cwd=task.root, env=environment) as process:
        try:
            wait_until_ready(readiness, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)  # as Lambda ends an environment


def provide_tenants(ministack_url: str, tables: Tables) -> None:
    secrets = boto3.client("secretsmanager", endpoint_url=ministack_url)
    create_secrets(TEMPLATE, secrets)
    name = Evaluator(TEMPLATE).physical_name("PepperSecret")
    pepper = secrets.get_secret_value(SecretId=name)["SecretString"]
    secrets.close()
    client = dynamodb_client(ministack_url)
    database = Database(client, SystemClock())
    asyncio.run(seed(DynamoDirectory(database, tables), pepper))
    asyncio.run(seed_catalogue(DynamoCatalogues(database, tables)))
    client.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(readiness: str, process: "subprocess.Popen[bytes]") -> None:
    """Ask every ten milliseconds, as the adapter does."""
    gives_up = time.monotonic() + START_SECONDS
    while time.monotonic() < gives_up and process.poll() is None:
        try:
            if httpx.get(readiness).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.01)
    pytest.fail("the start script did not become ready")


def test_the_start_script_serves_a_progressive_stream(url: str) -> None:
    pause = 0.6
    steps = [{"text": "first"}, {"wait": pause}, {"text": "last"}]
    body = {
        "model": "any",
        "stream": True,
        "messages": [{"role": "user", "content": "script:" + json.dumps(steps)}],
    }
    arrived: dict[str, float] = {}
    headers = {"Authorization": "Bearer sk_test_conformance", **ADAPTER_HEADERS}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["x-request-id"] == REQUEST_ID
        lines = []
        for line in reply.iter_lines():
            lines.append(line)
            for word in ("first", "last"):
                if f'"content":"{word}"' in line:
                    arrived[word] = time.monotonic()
    assert lines[-2:] == ["data: [DONE]", ""]
    assert arrived["last"] - arrived["first"] > pause * 0.8


def test_the_start_script_refuses_as_every_other_entry_does(url: str) -> None:
    refused = httpx.post(f"{url}/v1/chat/completions", json={}, headers=ADAPTER_HEADERS)
    assert refused.status_code == 401
    assert refused.headers["x-request-id"] == REQUEST_ID
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(f"{url}/v1/nothing").json()["error"]["code"] == "not_found"


def test_the_consultants_start_script_finds_products(consultant: str) -> None:
    headers = {"Authorization": "Bearer sk_test_conformance", **ADAPTER_HEADERS}
    body = {"message": "Какие кроссовки для бега вы посоветуете?"}
    reply = httpx.post(f"{consultant}/api/v1/chat", json=body, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    assert reply.json()["product_ids"]
