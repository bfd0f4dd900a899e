"""A tenant without money, tokens or turns left, on every route that asks a model."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.client import BaseClient

from parley.adapters.models.scripted import ScriptedModel
from parley.bootstrap import Services
from parley.dialects.registry import DIALECTS
from parley.domain.conversations import Scope
from parley.domain.errors import BudgetExhausted
from parley.domain.holds import Hold, NoRoom, budget, dollars
from parley.domain.ids import ConversationId
from parley.domain.routes import Price
from parley.domain.tenants import KeyLimits, Limits
from parley.services.turns.reserving import refusal
from tests.routes.conftest import CHAT, Clients, Invoke, invoke_socket
from tests.routes.test_sockets import CONNECTION, work

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}

ROUTES = [
    "openai/create_completion",
    "sessions/send_message",
    "apps/create_message",
    "personas/create_session",
    "consultant/send_message",
    "consultant/stream_message",
]
"""Of every dialect that asks models over HTTP; live chats are in test_sockets.py."""

PRICE = Price(since=date(2025, 1, 1), prompt=Decimal(1), completion=Decimal(2))


def limit(services: Services, loop: asyncio.AbstractEventLoop, **changes: Any) -> None:
    tenant = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert tenant is not None
    models = {name: replace(tenant.routes(name)[0], prices=(PRICE,)) for name in tenant.models}
    changed = replace(tenant, models=models, **changes)
    loop.run_until_complete(services.directory.put_tenant(changed))
    services.credentials._proven.clear()


def stored(services: Services) -> list[Mapping[str, Any]]:
    """Every item of the tables that turns write to, but for the windows of requests."""
    tables, client = services.basics.tables, services.basics.database._client
    read = TypeDeserializer().deserialize
    found = [
        {name: read(value) for name, value in item.items()}
        for table in (tables.conversations, tables.transient, tables.ledger)
        for item in client.scan(TableName=table)["Items"]
    ]
    return [item for item in found if "#W#" not in item["pk"]]


@pytest.fixture
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(*_: object) -> None:
        raise AssertionError("a model was asked")

    monkeypatch.setattr(ScriptedModel, "complete", complete)


@pytest.mark.usefixtures("stored_chat", "never_asked")
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_refuses_who_has_no_money_in_its_dialects_words_and_stores_nothing(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop, route: str
) -> None:
    limit(services, loop, budget=Decimal("0.000001"))
    before = stored(services)
    body: dict[str, Any] = {}
    if route.startswith("apps"):
        body = {"fields": {"conversation_id": ""}}
    reply = invoke(route, **body)
    assert reply.status == 429
    now = services.basics.clock.now()
    told = refusal(NoRoom(Hold(budget(now), 2, 1)), now)
    assert isinstance(told, BudgetExhausted)
    dialect = BY_NAME[route.partition("/")[0]]
    assert reply.json == dialect.envelope(told, 429)
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["x-should-retry"] == "false"
    assert stored(services) == before


@pytest.mark.usefixtures("stored_chat", "never_asked")
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_refuses_who_has_as_many_turns_as_may_be(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop, route: str
) -> None:
    limit(services, loop, limits=Limits(concurrent_turns=0))
    before = stored(services)
    fields = {"conversation_id": ""} if route.startswith("apps") else {}
    reply = invoke(route, fields=fields)
    assert reply.status == 429
    assert reply.headers["retry-after"] == "1"
    assert "x-should-retry" not in reply.headers
    assert stored(services) == before


def test_a_turn_is_billed_to_the_token_by_the_price_of_its_route(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop
) -> None:
    limit(services, loop, budget=Decimal(1), limits=Limits(concurrent_turns=1))
    usage = invoke("openai/create_completion", stream=False).json["usage"]
    [line] = [item for item in stored(services) if "dialect" in item]
    cost = usage["prompt_tokens"] + 2 * usage["completion_tokens"]
    assert dollars(int(line["cost"])) == Decimal(cost) / 1_000_000
    account = budget(services.basics.clock.now())
    balance = loop.run_until_complete(services.store.balance("demo", account))
    assert balance.used == balance.taken == line["cost"]


def test_a_key_is_held_to_its_own_budget(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop
) -> None:
    limit(services, loop)
    [key] = [
        key
        for key in loop.run_until_complete(services.directory.list_keys("demo"))
        if key.kind == "test"
    ]
    broke = replace(key, limits=KeyLimits(budget=Decimal(0)))
    loop.run_until_complete(services.directory.put_key(broke))
    services.credentials._proven.clear()
    reply = invoke("openai/create_completion")
    assert (reply.status, reply.json["error"]["code"]) == (429, "budget_exhausted")
    assert "API key" in reply.json["error"]["message"]


@pytest.mark.parametrize("has_limits", [False, True])
def test_only_who_has_limits_that_turns_count_against_pays_for_them(
    invoke: Invoke,
    services: Services,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_limits: bool,
) -> None:
    limit(services, loop, budget=Decimal(1) if has_limits else None)
    invoke("openai/create_completion", stream=False)
    asked: list[str] = []
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def recorded(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        asked.append(operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    assert invoke("openai/create_completion", stream=False).status == 200
    alike = ["UpdateItem", "PutItem", "TransactWriteItems"]
    held = ["UpdateItem", "TransactWriteItems", "Query", "TransactWriteItems"]
    assert sorted(asked) == sorted(held if has_limits else alike)


@pytest.mark.usefixtures("stored_chat", "never_asked")
def test_a_live_chat_is_told_that_there_is_no_money_and_stays_open(
    clients: Clients, services: Services, loop: asyncio.AbstractEventLoop
) -> None:
    assert invoke_socket("connect") == {"statusCode": 200}
    frames: list[Any] = []
    clients.open[CONNECTION] = frames
    work(clients)
    limit(services, loop, budget=Decimal("0.000001"))
    invoke_socket("receive")
    head = loop.run_until_complete(services.store.get(Scope("demo"), ConversationId.parse(CHAT)))
    assert head.message_count == 0
    [error] = [frame for frame in frames if frame["type"] == "error"]
    assert error["code"] == "budget_exhausted"
    assert error["details"]["retry_after"] > 0
    assert CONNECTION in clients.open
