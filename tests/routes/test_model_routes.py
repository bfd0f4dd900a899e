"""Which route served a turn, as its response and the ledger tell; and who may ask models."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from local.template import resources
from parley import bootstrap
from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.domain.routes import ModelRoute, Routes
from parley.settings import Settings
from tests.routes.conftest import CHAT, TEMPLATE, Clients, Invoke, invoke_socket
from tests.support.upstream import Exchange, upstream_beside

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens at this port."""

SERVED = ModelRoute("scripted", "scripted", name="the-one")

TURNS: Mapping[str, dict[str, Any]] = {
    "openai/create_completion": {"stream": False},
    "openai/create_completion streamed": {"stream": True},
    "sessions/send_message": {"stream": False},
    "sessions/send_message streamed": {"stream": True},
    "consultant/send_message": {},
    "consultant/stream_message": {},
    "apps/create_message": {"response_mode": "blocking", "conversation_id": ""},
    "apps/create_message streamed": {"response_mode": "streaming", "conversation_id": ""},
    "personas/create_session": {},
}


class Deployment:
    """The demo tenant's routes, and what the ledger says of them."""

    def __init__(self, services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> None:
        self._services = services
        self._loop = loop
        self.lead(SERVED)

    def lead(self, routes: Routes) -> None:
        """Where every model name leads from now on."""
        self._loop.run_until_complete(self._lead(routes))
        self._services.credentials._proven.clear()

    async def _lead(self, routes: Routes) -> None:
        tenant = await self._services.directory.get_tenant("demo")
        assert tenant is not None
        models: dict[str, Routes] = {**dict.fromkeys(tenant.models, routes), "*": routes}
        await self._services.directory.put_tenant(replace(tenant, models=models))

    @property
    def ledger(self) -> list[Any]:
        """The routes of all turns."""
        table = boto3.resource("dynamodb").Table(Settings.from_environment().ledger_table)
        return [line.get("route") for line in table.scan()["Items"]]


@pytest.fixture
def deployment(
    services: bootstrap.Services, loop: asyncio.AbstractEventLoop, stored_chat: str
) -> Iterator[Deployment]:
    yield Deployment(services, loop)
    for endpoint in services.models._endpoints.values():
        if isinstance(endpoint, OpenAICompatibleModel):
            loop.run_until_complete(endpoint.aclose())


@pytest.mark.parametrize("turn", TURNS)
def test_every_turn_tells_which_route_served_it(
    deployment: Deployment, invoke: Invoke, turn: str
) -> None:
    name, _, _ = turn.partition(" ")

    reply = invoke(name, fields=TURNS[turn])

    assert reply.status in {200, 201}
    assert reply.headers["x-parley-route"] == "the-one"
    assert deployment.ledger == ["the-one"]


def test_a_continued_session_tells_it_too(deployment: Deployment, invoke: Invoke) -> None:
    begun = invoke("personas/create_session")
    session = json.loads(begun.text.partition("\n")[0].removeprefix("data: "))["session_id"]

    reply = invoke("personas/continue_session", session_id=session)

    assert reply.headers["x-parley-route"] == "the-one"


def test_a_turn_of_a_live_chat_stands_in_the_ledger(
    deployment: Deployment, clients: Clients
) -> None:
    clients.open["c1"] = []
    context = {"routeKey": "$connect", "connectionId": "c1", "requestId": "r"}
    asks = {"api_key": "sk_test_demo", "user_id": "user-81", "chat_id": CHAT}
    invoke_socket("connect", requestContext=context, queryStringParameters=asks, headers={})
    body = json.dumps({"content": "Hello."})
    invoke_socket("receive", requestContext=context | {"routeKey": "$default"}, body=body)
    while clients.invoked:
        invoke_socket("reply", **clients.invoked.pop(0))

    assert deployment.ledger == ["the-one"]


def test_no_route_is_told_where_no_model_was_asked(deployment: Deployment, invoke: Invoke) -> None:
    assert "x-parley-route" not in invoke("openai/list_models").headers


def test_no_route_is_told_where_none_served(deployment: Deployment, invoke: Invoke) -> None:
    script = 'script: [{"fail": "unavailable"}]'

    reply = invoke("openai/create_completion", messages=[{"role": "user", "content": script}])

    assert reply.status == 503
    assert "x-parley-route" not in reply.headers
    assert deployment.ledger == [None]


def test_several_choices_tell_their_route_once(deployment: Deployment, invoke: Invoke) -> None:
    reply = invoke("openai/create_completion", n=3)

    assert reply.headers["x-parley-route"] == "the-one"
    assert deployment.ledger == ["the-one"] * 3


def test_a_name_of_the_callers_own_is_told_in_ascii(deployment: Deployment, invoke: Invoke) -> None:
    deployment.lead(ModelRoute("scripted", "*"))

    reply = invoke("openai/create_completion", model="ቡና, x\r\ny: z")

    assert reply.headers["x-parley-route"] == "scripted/%E1%89%A1%E1%8A%93%2C x%0D%0Ay: z"


def test_the_route_that_stood_in_is_told(deployment: Deployment, invoke: Invoke) -> None:
    down = ModelRoute("openai_compatible", "m", context_window=4096, base_url=NOWHERE)
    deployment.lead((down, SERVED))

    reply = invoke("openai/create_completion", stream=False)

    assert reply.headers["x-parley-route"] == "the-one"
    assert deployment.ledger == ["the-one"]


@pytest.mark.parametrize(("status", "told"), [(429, 429), (503, 503)])
def test_when_to_try_again_is_passed_on(
    deployment: Deployment, invoke: Invoke, status: int, told: int
) -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.answer(status, b"", {"retry-after": "25"})

    with upstream_beside(busy) as server:
        deployment.lead(
            ModelRoute("openai_compatible", "m", context_window=4096, base_url=server.url)
        )
        reply = invoke("openai/create_completion")

    assert reply.status == told
    assert reply.headers["retry-after"] == "25"


# Rights -----------------------------------------------------------------------------------------

POLICY = "AskModelsPolicy"
ASKING = {"Streaming", "Consultant", "Reply"}

BEDROCK = ModelRoute("bedrock", "m", context_window=4096)
EVERYWHERE = (
    BEDROCK,
    replace(BEDROCK, name="whole", streaming=False),
    ModelRoute("openai_compatible", "m", context_window=4096, base_url=NOWHERE, secret="key"),
    SERVED,
)


def test_exactly_the_functions_that_ask_models_may() -> None:
    holding = {
        logical_id
        for logical_id, properties in resources(TEMPLATE, "AWS::Serverless::Function")
        if {"Ref": POLICY} in properties.get("Policies", [])
    }

    assert holding == ASKING


def test_models_are_asked_with_the_rights_of_their_policy_and_no_others(
    deployment: Deployment,
    invoke: Invoke,
    clients: Clients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", NOWHERE)
    deployment.lead(EVERYWHERE)
    asked: dict[str, set[str]] = defaultdict(set)
    running = ""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def recorded(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation.startswith("Converse"):
            asked[running].add(operation)
        if "/upstreams/" in arguments.get("SecretId", ""):
            asked[running].add(arguments["SecretId"])
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    running = "Streaming"
    invoke("openai/create_completion")
    running = "Consultant"
    invoke("consultant/send_message")
    running = "Connect"
    clients.open["c1"] = []
    context = {"routeKey": "$connect", "connectionId": "c1", "requestId": "r"}
    asks = {"api_key": "sk_test_demo", "user_id": "user-81", "chat_id": CHAT}
    invoke_socket("connect", requestContext=context, queryStringParameters=asks, headers={})
    running = "Receive"
    body = json.dumps({"content": "Hello."})
    invoke_socket("receive", requestContext=context | {"routeKey": "$default"}, body=body)
    running = "Reply"
    while clients.invoked:
        invoke_socket("reply", **clients.invoked.pop(0))

    secret = f"{Settings.from_environment().stack}/upstreams/key"
    assert asked == {name: {"Converse", "ConverseStream", secret} for name in ASKING}
    statements = TEMPLATE["Resources"][POLICY]["Properties"]["PolicyDocument"]["Statement"]
    bedrock, secrets = statements
    assert bedrock["Action"] == [
        "bedrock:InvokeModel",
        "bedrock:InvokeModelWithResponseStream",
    ]
    assert all(":bedrock:" in each["Fn::Sub"] for each in bedrock["Resource"])
    assert secrets["Action"] == "secretsmanager:GetSecretValue"
    assert secrets["Resource"]["Fn::Sub"].endswith(":secret:${AWS::StackName}/upstreams/*")
