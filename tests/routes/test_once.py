"""A request that carries an idempotency key happens once, on every route that is posted to."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest

from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.adapters.models.scripted import ScriptedModel
from parley.domain.conversations import Conversation, Scope
from parley.domain.ids import ConversationId
from parley.domain.once import Once
from parley.domain.tenants import SCOPES, Limits, Tenant
from parley.domain.turns import CompletionRequest, ModelEvent
from parley.edge import once as edge
from tests.routes.conftest import NOW, ROOT, Invoke, Reply
from tests.support.completions import kept

KEY = {"Idempotency-Key": "order-66"}

POSTED = sorted(
    f"{dialect}/{file.stem}"
    for dialect in SCOPES
    for file in (ROOT / "events" / dialect).glob("*.json")
    if json.loads(file.read_text())["httpMethod"] == "POST"
)
TURNS = {
    "apps/create_message": {"query": "{}"},
    "consultant/send_message": {"message": "{}"},
    "consultant/stream_message": {"message": "{}"},
    "openai/create_completion": {"messages": [{"role": "user", "content": "{}"}]},
    "personas/continue_session": {"message": "{}"},
    "personas/create_session": {"message": "{}"},
    "sessions/send_message": {"content": "{}"},
}
"""The routes that begin turns, and what says something on them."""


def saying(route: str, text: str) -> dict[str, Any]:
    """A body that says this."""
    filled: dict[str, Any] = json.loads(json.dumps(TURNS[route]).replace('"{}"', json.dumps(text)))
    return filled


def script(*steps: dict[str, Any]) -> str:
    return f"script:{json.dumps(steps)}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CompletionRequest]:
    """What the model is asked, in order."""
    requests: list[CompletionRequest] = []
    complete = ScriptedModel.complete

    async def noted(
        model: ScriptedModel, request: CompletionRequest
    ) -> AsyncGenerator[ModelEvent, None]:
        requests.append(request)
        async for event in complete(model, request):
            yield event

    monkeypatch.setattr(ScriptedModel, "complete", noted)
    return requests


@pytest.fixture(autouse=True)
def things(services: bootstrap.Services, loop: asyncio.AbstractEventLoop, stored_chat: str) -> None:
    """What event files name: chats, one of them with a turn, a session and a completion."""

    async def make() -> None:
        talk = Conversation(
            id=ConversationId(4712),
            tenant="demo",
            user="abc-123",
            created_at=NOW,
            updated_at=NOW,
            alias="1c7e55fb-1ba2-4e10-81b5-30addcea2276",
        )
        await services.store.create(talk)
        for each in (talk, await services.store.get(Scope("demo"), ConversationId(4711))):
            await services.store.append_turn(each, text="Hi", model="wesen-chat-v1", at=NOW)
        basics = services.basics
        await DynamoCompletions(basics.database, basics.tables).keep(kept())

    loop.run_until_complete(make())


def same(first: Reply, again: Reply) -> bool:
    assert first.headers.get("idempotent-replayed") is None
    return (
        again.headers["idempotent-replayed"] == "true"
        and (again.status, again.text) == (first.status, first.text)
        and again.headers["content-type"] == first.headers["content-type"]
    )


@pytest.mark.parametrize("route", POSTED)
def test_the_same_request_again_gets_the_first_answer(
    invoke: Invoke, asked: list[CompletionRequest], route: str
) -> None:
    first = invoke(route, headers=KEY)
    assert first.status in {200, 201}, first.text
    times = len(asked)
    assert same(first, invoke(route, headers=KEY))
    assert same(first, invoke(route, headers=KEY))
    assert len(asked) == times


@pytest.mark.parametrize("route", POSTED)
def test_a_key_that_comes_with_another_request_is_refused(invoke: Invoke, route: str) -> None:
    assert invoke(route, headers=KEY).status < 300
    reply = invoke(route, headers=KEY, query={"another": "1"})
    assert reply.status == 422
    assert "idempotency_key_reused" in reply.text
    assert "idempotent-replayed" not in reply.headers


@pytest.mark.parametrize("route", POSTED)
def test_what_is_no_key_is_refused_in_the_dialects_words(
    invoke: Invoke, asked: list[CompletionRequest], route: str
) -> None:
    for key in ("", "k" * 256, "with space", "ключ".encode().decode("latin-1")):
        reply = invoke(route, headers={"Idempotency-Key": key})
        assert reply.status == 400
        assert "Idempotency-Key" in reply.text
    assert not asked


@pytest.mark.parametrize("key", ["k", "!" * 255, "~"])
def test_a_key_is_up_to_255_visible_characters(invoke: Invoke, key: str) -> None:
    assert invoke("sessions/create_chat", headers={"Idempotency-Key": key}).status == 201


@pytest.mark.parametrize("route", TURNS)
@pytest.mark.parametrize(
    "body", [{"stream": True}, {"stream": False}, {"response_mode": "blocking"}]
)
def test_a_turn_is_told_again_however_its_reply_is_made(
    invoke: Invoke, asked: list[CompletionRequest], route: str, body: dict[str, Any]
) -> None:
    text = script({"think": "Hm."}, {"text": "ሰላም "}, {"text": "👋"}, {"finish": "length"})
    fields = saying(route, text) | body
    if route == "consultant/send_message":
        fields["stream"] = False
    first = invoke(route, headers=KEY, fields=fields)
    assert first.status in {200, 201}, first.text
    assert "ሰላም" in first.text
    assert same(first, invoke(route, headers=KEY, fields=fields))
    assert len(asked) == 1


@pytest.mark.parametrize("how", [{"stream": True}, {"stream": False, "stream_options": None}])
@pytest.mark.parametrize(
    "more",
    [
        {"n": 3, "store": True, "metadata": {"topic": "weather"}},
        {"logprobs": True, "top_logprobs": 2},
        {"service_tier": "auto"},
    ],
)
def test_a_completion_is_told_again_with_all_that_was_told(
    invoke: Invoke,
    asked: list[CompletionRequest],
    how: dict[str, Any],
    more: dict[str, Any],
) -> None:
    call: dict[str, Any] = {"call": "f", "arguments": {"city": "Gondar", "days": 3}}
    steps: list[dict[str, Any]] = [
        {"think": "Hm."},
        {"text": "a"},
        {"text": "b", "repeat": 3},
        call,
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = saying("openai/create_completion", script(*steps)) | how | more | {"tools": tools}
    first = invoke("openai/create_completion", headers=KEY, fields=body)
    assert first.status == 200, first.text
    times = len(asked)
    assert same(first, invoke("openai/create_completion", headers=KEY, fields=body))
    assert len(asked) == times == more.get("n", 1)


@pytest.mark.parametrize("route", TURNS)
def test_a_failure_is_told_again_and_not_to_be_tried_again(
    invoke: Invoke, asked: list[CompletionRequest], route: str
) -> None:
    fields = saying(route, script({"fail": "unavailable"}))
    first = invoke(route, headers=KEY, fields=fields)
    assert first.status == 503
    assert "x-should-retry" not in first.headers
    again = invoke(route, headers=KEY, fields=fields)
    assert same(first, again)
    assert again.headers["x-should-retry"] == "false"
    assert len(asked) == 1


@pytest.mark.parametrize("route", TURNS)
def test_a_stream_that_broke_off_breaks_off_again(
    invoke: Invoke, asked: list[CompletionRequest], route: str
) -> None:
    fields = saying(route, script({"text": "We have "}, {"fail": "error"}))
    first = invoke(route, headers=KEY, fields=fields)
    assert same(first, invoke(route, headers=KEY, fields=fields))
    assert len(asked) == 1


def test_a_new_conversation_is_begun_once_and_keeps_one_turn(invoke: Invoke) -> None:
    for _ in range(3):
        reply = invoke("apps/create_message", headers=KEY, fields={"conversation_id": ""})
        assert reply.status == 200
    listed = invoke("apps/list_conversations", query={"user": "abc-123"}).json["data"]
    assert len(listed) == 2  # the other one is that of the event files


def test_a_request_that_broke_off_after_its_conversation_goes_on_with_it(
    invoke: Invoke, services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the function dies between the two."""
    died: list[bool] = []
    send = services.turns.send

    async def dies_once(*args: Any, **kwargs: Any) -> Any:
        if not died:
            died.append(True)
            raise RuntimeError
        return await send(*args, **kwargs)

    monkeypatch.setattr(services.turns, "send", dies_once)
    for route, fields in (
        ("personas/create_session", {"user_id": "eve"}),
        ("consultant/send_message", {"user_id": "eve"}),
        ("apps/create_message", {"user": "eve", "conversation_id": ""}),
    ):
        died.clear()
        key = {"Idempotency-Key": route}
        assert invoke(route, headers=key, fields=fields).status == 500
        assert invoke(route, headers=key, fields=fields).status == 200
    listed = invoke("sessions/list_chats", query={"user": "eve"}).json["data"]
    assert [chat["messageCount"] for chat in listed] == [2, 2, 2]


@pytest.mark.parametrize("route", ["sessions/create_chat", "tenant/create_chat"])
def test_a_chat_is_begun_once_even_where_its_answer_was_never_kept(
    invoke: Invoke, services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """As when the function dies between the two, and the retry comes when its hold is over."""

    async def dies(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(services.requests, "answered", dies)
        assert invoke(route, headers=KEY).status == 500
    monkeypatch.setattr(edge, "PATIENCE_SECONDS", 0)
    assert invoke(route, headers=KEY).status == 409
    now = services.basics.clock.now
    monkeypatch.setattr(services.basics.clock, "now", lambda: now() + 2 * edge.HELD_FOR, False)
    first = invoke(route, headers=KEY)
    assert first.status == 201
    assert same(first, invoke(route, headers=KEY))


def test_a_request_is_refused_while_the_first_one_is_answered(
    invoke: Invoke,
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "PATIENCE_SECONDS", 0)
    held: list[Once] = []
    hold = services.requests.hold

    async def held_by_another(once: Once, *, until: Any) -> Any:
        if not held:
            held.append(once)
            assert await hold(once, until=until) is None
        return await hold(once, until=until)

    monkeypatch.setattr(services.requests, "hold", held_by_another)
    reply = invoke("sessions/create_chat", headers=KEY)
    assert reply.status == 409
    assert reply.json["error"]["code"] == "request_in_progress"
    assert reply.headers["retry-after"] == "1"
    loop.run_until_complete(services.requests.release(held[0]))
    assert invoke("sessions/create_chat", headers=KEY).status == 201


def test_a_request_waits_for_the_first_ones_answer(
    invoke: Invoke, services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = invoke("sessions/create_chat", headers=KEY)
    known: list[Any] = []
    hold = services.requests.hold

    async def answered_at_the_third_look(once: Once, *, until: Any) -> Any:
        known.append(await hold(once, until=until))
        return known[-1] if len(known) == 3 else replace(known[-1], answer=None)

    monkeypatch.setattr(edge, "POLL_SECONDS", 0)
    monkeypatch.setattr(services.requests, "hold", answered_at_the_third_look)
    assert same(first, invoke("sessions/create_chat", headers=KEY))
    assert len(known) == 3


def test_a_request_that_failed_may_be_tried_again(invoke: Invoke) -> None:
    for _ in range(2):
        reply = invoke("apps/rate_message", headers=KEY, fields={"user": "nobody"})
        assert reply.status == 404
        assert "idempotent-replayed" not in reply.headers
        assert "x-should-retry" not in reply.headers


def test_a_key_is_its_users_and_its_tenants_own(invoke: Invoke) -> None:
    token = invoke("personas/get_token").json["token"]
    callers: list[Mapping[str, str]] = [
        {},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": "Bearer sk_test_neighbour"},
    ]
    body = {"user": None, "model": None}
    made = [
        invoke("sessions/create_chat", headers={**KEY, **each}, fields=body) for each in callers
    ]
    assert [reply.status for reply in made] == [201] * 3, made
    assert len({reply.json["id"] for reply in made}) == 3


def test_a_token_is_never_kept(invoke: Invoke, services: bootstrap.Services) -> None:
    first = invoke("personas/get_token", headers=KEY)
    token = first.json["token"]
    found = boto3.client("dynamodb").scan(TableName=services.basics.tables.transient)
    kept_items = json.dumps(found["Items"])
    assert token.rpartition(".")[0] in kept_items
    assert token.rpartition(".")[2] not in kept_items
    assert same(first, invoke("personas/get_token", headers=KEY))


def test_told_again_or_not_a_request_counts(
    invoke: Invoke, services: bootstrap.Services, loop: asyncio.AbstractEventLoop
) -> None:
    few = Tenant(id="demo", created_at=NOW, limits=Limits(requests_per_minute=2))
    loop.run_until_complete(services.directory.put_tenant(few))
    assert [invoke("tenant/create_chat", headers=KEY).status for _ in range(3)] == [201, 201, 429]


def test_a_request_that_is_not_admitted_may_come_again(
    invoke: Invoke, services: bootstrap.Services, loop: asyncio.AbstractEventLoop
) -> None:
    tenant = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert tenant is not None
    none = replace(tenant, limits=Limits(requests_per_minute=0))
    loop.run_until_complete(services.directory.put_tenant(none))
    routes = ("sessions/create_chat", "sessions/send_message", "consultant/send_message")
    assert [invoke(route, headers=KEY).status for route in routes] == [429] * 3
    loop.run_until_complete(services.directory.put_tenant(tenant))
    bootstrap.services().credentials._proven.clear()
    assert [invoke(route, headers={"Idempotency-Key": route}).status for route in routes] == [
        201,
        201,
        200,
    ]
    assert invoke("sessions/create_chat", headers=KEY).status == 201
