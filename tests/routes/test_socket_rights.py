"""The rights of the functions behind the WebSocket API are exactly what they need."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from parley import bootstrap
from parley.domain.conversations import Conversation
from parley.domain.ids import ConversationId
from parley.domain.tenants import Limits
from tests.routes.conftest import NOW, Clients, invoke_socket
from tests.routes.test_rights import (
    LONG,
    SOCKETS,
    Right,
    declared,
    leave_dead,
    on_a_budget,
    used,
)

CHAT = Conversation(
    id=ConversationId(4711), tenant="demo", user="user-81", created_at=NOW, updated_at=NOW
)
OTHER = replace(CHAT, id=ConversationId(4712))


class Recorded:
    """Invokes functions and keeps by function what it asked of AWS."""

    def __init__(self, clients: Clients) -> None:
        self.asked: dict[str, set[Right]] = defaultdict(set)
        self.clients = clients
        self._running = ""

    def record(self, operation: str, arguments: dict[str, Any]) -> None:
        self.asked[self._running].update(used(operation, arguments))

    def connect(self, name: str, *, headers: dict[str, str] | None = None, **query: str) -> None:
        asks = {"api_key": "sk_test_demo", "user_id": "user-81", "chat_id": str(CHAT.id)}
        self._invoke(
            "connect",
            requestContext=_context("$connect", name),
            queryStringParameters=asks | query,
            headers=headers or {},
        )

    def say(self, text: str) -> None:
        body = json.dumps({"content": text})
        self._invoke("receive", requestContext=_context("$default", "c1"), body=body)

    def disconnect(self, name: str) -> None:
        self._invoke("disconnect", requestContext=_context("$disconnect", name))

    def work(self) -> None:
        while self.clients.invoked:
            self._invoke("reply", **self.clients.invoked.pop(0))

    def _invoke(self, name: str, **changes: Any) -> None:
        self._running = name.title()
        invoke_socket(name, **changes)
        self._running = ""


def _context(route: str, connection: str) -> dict[str, str]:
    return {"routeKey": route, "connectionId": connection, "requestId": "r"}


@pytest.fixture
def recorded(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    recorded = Recorded(clients)
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def record(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        recorded.record(operation, arguments)
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", record)
        yield recorded


def test_a_function_behind_the_socket_api_may_do_what_it_does_and_nothing_else(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    clients: Clients,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop.run_until_complete(services.store.create(CHAT))
    loop.run_until_complete(services.store.create(OTHER))
    on_a_budget(services, loop)
    services.models.backend("scripted").context_window = 10 * LONG
    open_ = clients.open

    open_["c1"] = open_["c2"] = []
    recorded.connect("c1")
    recorded.connect("c2", last_seq="1")
    recorded.work()
    # A long reply takes several items, and one of over a second is looked after while it lasts.
    recorded.say(f'script:[{{"text": "{"r" * 4000}", "repeat": 100}}, {{"wait": 1.1}}]')
    recorded.work()
    leave_dead(services, loop, CHAT)
    for _ in range(3):  # as many as may run at a time
        leave_dead(services, loop, OTHER)
    recorded.say("And then?")  # which reads the long one, and finds the dead one
    del open_["c2"]
    recorded.say("And then?")  # which finds a client gone
    recorded.work()
    open_["c3"] = []
    recorded.connect("c3")
    recorded.work()
    recorded.say("And then?")
    del open_["c3"]
    recorded.work()

    limited = _limited(services, loop, monkeypatch)
    del open_["c1"]
    recorded.connect("c4")  # finds the slot of a client that is gone
    assert limited.limits.connections == len(clients.invoked) == 1
    open_["c4"] = open_["c5"] = []
    recorded.connect("c5", api_key="sk_test_wrong", headers={"Origin": "https://shop.example"})
    recorded.work()
    recorded.disconnect("c4")

    shared, own = declared()
    for name in SOCKETS:
        granted = own[name] | (shared if name == "Connect" else set())
        assert recorded.asked[name] - granted == set(), f"{name} lacks these"
        assert own[name] - recorded.asked[name] == set(), f"{name} doesn't need these"


def _limited(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Leave the tenant one connection, and take every handshake for ended."""
    tenant = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert tenant is not None
    limited = replace(tenant, limits=Limits(connections=1))
    loop.run_until_complete(services.directory.put_tenant(limited))
    services.credentials._proven.clear()
    monkeypatch.setattr("parley.services.live.admission.HANDSHAKE", timedelta(0))
    return limited
