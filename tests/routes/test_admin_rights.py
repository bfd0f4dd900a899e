"""The rights of the functions behind the admin API are exactly what they need."""

import asyncio
import importlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from parley import bootstrap
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import put
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.domain.conversations import Conversation, Status
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import UsageRecord
from tests.routes.conftest import NOW, ROOT, Clients, Context, Invoke
from tests.routes.test_rights import LONG, OPERATORS, Right, declared, leave_dead, used
from tests.support.completions import kept

CHAT = Conversation(
    id=ConversationId(4711),
    tenant="demo",
    user="user-81",
    created_at=NOW,
    updated_at=NOW,
    system_prompt="p" * LONG,
)
LAST = {"suspend_tenant", "revoke_key", "delete_user", "delete_tenant"}
"""Asked for when there is nothing else left to ask for."""


class Recorded:
    """Invokes functions and keeps by function what it asked of AWS."""

    def __init__(self, invoke: Invoke, clients: Clients) -> None:
        self.asked: dict[str, set[Right]] = defaultdict(set)
        self._invoke = invoke
        self._clients = clients
        self._running = ""

    def record(self, operation: str, arguments: dict[str, Any]) -> None:
        self.asked[self._running].update(used(operation, arguments))

    def ask(self, route: str, **changes: Any) -> Any:
        self._running = "Admin"
        reply = self._invoke(f"admin/{route}", **changes)
        self._running = ""
        assert reply.status in {200, 201, 202}, reply.text
        return reply

    def work(self) -> None:
        while self._clients.invoked:
            self._running = "Erase"
            event = self._clients.invoked.pop(0)
            importlib.import_module("functions.admin.erase").handler(event, Context())
            self._running = ""


@pytest.fixture
def recorded(
    invoke: Invoke, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorded]:
    recorded = Recorded(invoke, clients)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def record(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        recorded.record(operation, arguments)
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", record)
        yield recorded


def store(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> None:
    """Keep a user's conversation with a long message and a dead turn, and a long completion.

    And use of a day that is over, by the user and by others with names so long that one item can't
    hold its sums.
    """
    loop.run_until_complete(services.store.create(CHAT))
    loop.run_until_complete(services.store.append_turn(CHAT, text="r" * LONG, model="any", at=NOW))
    leave_dead(services, loop, CHAT)
    basics = services.basics
    completions = DynamoCompletions(basics.database, basics.tables)
    loop.run_until_complete(completions.keep(kept("r" * LONG)))
    at = basics.clock.now() - timedelta(days=7)
    for number, user in enumerate((CHAT.user, "1" * (LONG // 2), "2" * (LONG // 2))):
        line = UsageRecord(
            tenant="demo",
            user=user,
            key_id="key",
            dialect="openai",
            turn=MessageId(ConversationId(number + 1), 2),
            model="any",
            status=Status.COMPLETED,
            usage=None,
            at=at,
        )
        key = keys.ledger_line("demo", at, line.turn)
        basics.database.write(put(basics.tables.ledger, key, items.from_record(line)))


def test_a_function_behind_the_admin_api_may_do_what_it_does_and_nothing_else(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke: Invoke,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demo = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert demo is not None
    before_its_use = replace(demo, created_at=services.basics.clock.now() - timedelta(days=8))
    loop.run_until_complete(services.directory.put_tenant(before_its_use))
    recorded.ask("create_key")  # the first to need the pepper
    said = [{"role": "user", "content": 'script:[{"text": "Hello"}]'}]
    invoke("openai/create_completion", messages=said, stream=False, user="user-81")
    store(services, loop)
    recorded.ask("edit_persona", system_prompt="ሀ" * 100_000)
    for file in sorted((ROOT / "events" / "admin").glob("*.json")):
        if file.stem not in LAST and file.stem not in {"erase", "roll_back_persona", "set_models"}:
            recorded.ask(file.stem)
    recorded.ask("get_usage", query={})
    recorded.ask("get_usage", query={"tenant": "demo"})  # which reads what the first one has kept
    recorded.ask("submit_persona")
    recorded.ask("roll_back_persona")
    recorded.ask("set_models")
    recorded.ask("delete_user")
    store(services, loop)
    recorded.ask("get_usage", query={"tenant": "demo"})  # so that there are sums to be dropped
    with monkeypatch.context() as patch:
        patch.setattr("functions.admin.delete_user.PATIENCE_SECONDS", 0)
        recorded.ask("delete_user")
    recorded.work()
    recorded.ask("revoke_key")
    recorded.ask("suspend_tenant")
    demo = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert demo is not None
    long_ago = replace(demo, suspended_at=NOW)  # nobody is to be waited for
    loop.run_until_complete(services.directory.put_tenant(long_ago))
    store(services, loop)
    recorded.ask("delete_tenant")
    recorded.work()

    _, own = declared()
    for name in OPERATORS:
        assert recorded.asked[name] - own[name] == set(), f"{name} lacks these"
        assert own[name] - recorded.asked[name] == set(), f"{name} doesn't need these"
