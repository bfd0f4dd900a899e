"""Functions invoked as Lambda invokes them, over tables that moto makes from the template."""

import asyncio
import importlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from local import environment, provision
from local.demo_catalogue import seed_catalogue
from local.intrinsics import Evaluator
from local.routes import functions
from local.seed import seed, seed_personas
from local.template import load
from parley import bootstrap, bootstrap_admin, bootstrap_health, bootstrap_live, bootstrap_search
from parley.domain.conversations import Conversation
from parley.domain.ids import ConversationId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Tenant
from parley.settings import Settings

ROOT = Path(__file__).parents[2]
TEMPLATE = load(ROOT / "template.yaml")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

CHAT = str(ConversationId(4711))
"""The chat that event files name."""


@dataclass(frozen=True)
class Reply:
    """What a function answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Invoke(Protocol):
    """Invokes a function with its event file."""

    def __call__(
        self,
        name: str,
        *,
        query: Mapping[str, str] | None = ...,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
        **body: Any,
    ) -> Reply:
        """Take `<dialect>/<verb_noun>`, and what to change in the event.

        `fields` are of the body, too: those whose names stand for something else here.
        """
        ...


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "4c7a1f0e-6f5b-4a86-9f43-7f6f5d1c0e11"
    function_name = "parley"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:parley"
    log_group_name = "/aws/lambda/parley"
    log_stream_name = "2026/01/01/[$LATEST]0"
    memory_limit_in_mb = 512

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of a function's one thread; importing a handler already asks for it."""
    # At its end it cancels what is still running, so that nothing of it outlives its test.
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asyncio.set_event_loop(loop)
        yield loop


@dataclass(frozen=True)
class Seeded:
    """What the tables and secrets hold once the demo tenants are in them."""

    secrets: Mapping[str, str]
    items: Mapping[str, list[Any]]

    def put(self) -> None:
        """Have it once more."""
        stored = boto3.resource("dynamodb")
        provision.create_tables(TEMPLATE, stored.meta.client)
        secrets = boto3.client("secretsmanager")
        for name, text in self.secrets.items():
            secrets.create_secret(Name=name, SecretString=text)
        for name, items in self.items.items():
            with stored.Table(name).batch_writer() as table:
                for item in items:
                    table.put_item(item)


@pytest.fixture(scope="session")
def seeded() -> Seeded:
    """Made by the program's own means, which take their time, and only once."""
    with pytest.MonkeyPatch.context() as patch, emulated_aws(), asyncio.Runner() as runner:
        as_deployed(patch)
        tables = provision.create_tables(TEMPLATE, boto3.client("dynamodb"))
        secrets = provision.create_secrets(TEMPLATE, boto3.client("secretsmanager"))
        runner.run(_seed())
        forget()
        stored = boto3.resource("dynamodb")
        return Seeded(
            {name: _secret(name) for name in secrets},
            {name: stored.Table(name).scan()["Items"] for name in tables},
        )


async def _seed() -> None:
    """Keep the demo tenants; the models of the first are scripted, so that no test waits."""
    made = bootstrap.services()
    await seed(made.directory, _secret(Settings.from_environment().pepper_secret))
    scripted = ModelRoute("scripted", "scripted")
    models = {"wesen-chat-v1": scripted, "smollm2-135m": scripted}
    since = datetime.now(UTC) - timedelta(days=1)  # every day since then may be read
    await made.directory.put_tenant(Tenant(id="demo", created_at=since, models=models))
    await seed_personas(made.personas)
    await seed_catalogue(bootstrap_search.catalogues())


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, seeded: Seeded) -> Iterator[bootstrap.Services]:
    """Tables from the template, the demo tenants, and the services of a fresh process over them."""
    as_deployed(monkeypatch)
    with emulated_aws():
        seeded.put()
        yield bootstrap.services()
    forget()


@contextmanager
def emulated_aws() -> Iterator[None]:
    """AWS as moto emulates it, one call at a time: its tables aren't made for threads."""
    lock = threading.RLock()
    answer = BotocoreStubber.process_request

    def answer_alone(stubber: BotocoreStubber, request: Any) -> Any:
        with lock:
            return answer(stubber, request)

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setattr(BotocoreStubber, "process_request", answer_alone)
        yield


def as_deployed(patch: pytest.MonkeyPatch) -> None:
    """Have the environment of a function, of a process that has just begun."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PARLEY_")):
            patch.delenv(name)
    for name, value in environment.of_functions(TEMPLATE, {}, "").items():
        if name.startswith(("AWS_", "PARLEY_")) and value:
            patch.setenv(name, value)
    forget()


def forget() -> None:
    """Make the next call begin a fresh process, as far as services go."""
    bootstrap.services.cache_clear()
    bootstrap.allowed_origins.cache_clear()
    bootstrap_admin.administration.cache_clear()
    bootstrap_live.live_chats.cache_clear()
    bootstrap_health.readiness.cache_clear()
    bootstrap_search.catalogues.cache_clear()
    bootstrap_search.consultant.cache_clear()


def _secret(name: str) -> str:
    return boto3.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]


@pytest.fixture
def stored_chat(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> str:
    """The chat that event files name, without messages."""
    conversation = Conversation(
        id=ConversationId(4711), tenant="demo", user="user-81", created_at=NOW, updated_at=NOW
    )
    loop.run_until_complete(services.store.create(conversation))
    return CHAT


@pytest.fixture
def invoke(services: bootstrap.Services) -> Invoke:
    """Invoke functions by the handlers the template names."""
    declared = {
        function.module: function for function, _ in functions(TEMPLATE, Evaluator(TEMPLATE))
    }

    def invoke(
        name: str,
        *,
        query: Mapping[str, str] | None = KEEP,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
        **body: Any,
    ) -> Reply:
        body |= fields or {}
        event = json.loads((ROOT / "events" / f"{name}.json").read_text())
        if query is not KEEP:
            event["queryStringParameters"] = query
            several = {field: [value] for field, value in (query or {}).items()}
            event["multiValueQueryStringParameters"] = several or None
        for field, value in (headers or {}).items():
            event["headers"][field] = value
            event["multiValueHeaders"][field] = [value]
        if body:
            event["body"] = json.dumps(json.loads(event["body"]) | body)
        module = f"functions.{name.replace('/', '.')}"
        dialect, _, _ = name.partition("/")
        streaming = declared.get(f"functions.streaming.{dialect}_app")
        shared = declared.get(f"functions.{dialect}.app") or streaming
        function = declared.get(module) or shared or declared["functions.streaming.app"]
        handler = getattr(importlib.import_module(function.module), function.attribute)
        answer = handler(event, Context())
        assert answer["isBase64Encoded"] is False
        repeated = {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
        sent = {name.lower(): value for name, value in (answer["headers"] | repeated).items()}
        return Reply(answer["statusCode"], sent, answer["body"])

    return invoke


KEEP: Mapping[str, str] = {}
"""Stands for the event file's own query."""


class Clients:
    """The clients of the WebSocket API and the functions that run beside, as AWS keeps them.

    Attributes:
        open: what each client that is connected was sent.
        invoked: the events of asynchronous invocations, oldest first.
    """

    def __init__(self) -> None:
        self.open: dict[str, list[Any]] = {}
        self.invoked: list[dict[str, Any]] = []

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "Invoke":
            self.invoked.append(json.loads(arguments["Payload"]))
            return {"StatusCode": 202}
        connection = arguments["ConnectionId"]
        if connection not in self.open:
            raise ClientError({"Error": {"Code": "GoneException", "Message": ""}}, operation)
        match operation:
            case "PostToConnection":
                self.open[connection].append(json.loads(arguments["Data"]))
            case "DeleteConnection":
                del self.open[connection]
        return {}


@pytest.fixture
def clients(services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Answer for API Gateway's connections and Lambda, which moto doesn't do."""
    clients = Clients()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def answer(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if client.meta.service_model.service_name in {"apigatewaymanagementapi", "lambda"}:
            return clients.call(operation, arguments)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    return clients


def invoke_socket(name: str, **changes: Any) -> Any:
    """What a function of the WebSocket API, or the worker, returns for its event file."""
    event = json.loads((ROOT / "events" / "sockets" / f"{name}.json").read_text())
    module = importlib.import_module(f"functions.sockets.{name}")
    return module.handler(event | changes, Context())
