"""How a reply ended is told apart in every dialect: as it is streamed, at once, and in history."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from parley import bootstrap
from parley.domain.conversations import Scope, Status
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import Checkpoint, TextDelta
from tests.routes.conftest import Invoke, Reply
from tests.routes.test_resuming import Resume, resume, say
from tests.support.sse import data

__all__ = ["resume", "say"]  # fixtures

NUMBER = 4711
AN_HOUR = {"wait": 3600}

BLOCKING: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "apps/create_message": ("query", {"response_mode": "blocking", "conversation_id": ""}),
    "consultant/send_message": ("message", {}),
    "openai/create_completion": ("messages", {"stream": False}),
    "sessions/send_message": ("content", {"stream": False}),
}
"""What answers at once: where it is told what to say, and how it is told to answer so."""


@pytest.fixture
def stopped(services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody stops every turn right after its first piece."""
    heard: set[MessageId] = set()

    async def is_to_stop(_tenant: str, reply: MessageId) -> bool:
        return reply in heard

    checkpoint = services.store.checkpoint

    async def kept(tenant: str, reply: MessageId, grown: Checkpoint) -> None:
        await checkpoint(tenant, reply, grown)
        heard.add(reply)

    monkeypatch.setattr(services.turns, "_watch_seconds", 0.01)
    monkeypatch.setattr(services.store, "checkpoint", kept)
    monkeypatch.setattr(services.store, "stop_requested", is_to_stop)


@pytest.fixture
def died(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> Callable[[str], str]:
    """Repeats a streamed turn, whose function dies this time after one piece; returns its id."""

    async def repeat(turn: MessageId) -> MessageId:
        scope, store = Scope("demo"), services.store
        a_minute_ago = services.basics.clock.now() - timedelta(minutes=1)
        if turn.is_completion:
            whole = await store.get_completion(scope, turn)
            pending = replace(
                whole,
                id=MessageId(ConversationId(99), 1),
                text="",
                status=Status.PENDING,
                created_at=a_minute_ago,
                finish_reason=None,
                usage=None,
                ended_at=None,
            )
            await store.begin_completions(scope, [pending])
        else:
            head, whole = await store.get_message(scope, turn)
            _, pending = await store.append_turn(
                head, text="?", model="wesen-chat-v1", at=a_minute_ago, origin=whole.origin
            )
        piece = (TextDelta("We have "),)
        grown = Checkpoint(number=1, shown=0, deltas=piece, shows=1, at=a_minute_ago)
        await store.checkpoint("demo", pending.id, grown)
        return pending.id

    def died(shown: str) -> str:
        bare = shown.removeprefix("chatcmpl-")
        turn = MessageId.from_number(int(bare)) if bare.isdecimal() else MessageId.parse(bare)
        return str(loop.run_until_complete(repeat(turn)))

    return died


def last(told: Reply) -> Mapping[str, Any]:
    """The last event that says how a reply ended."""
    events = [json.loads(event) for event in data(told.text) if event != "[DONE]"]
    found: Mapping[str, Any] = [event for event in events if event.get("choices") != []][-1]
    return found


def words(event: Mapping[str, Any], *fields: str) -> tuple[Any, ...]:
    return tuple(event.get(field) for field in fields)


def ending(route: str, told: Reply) -> Any:
    """What a stream says of how its reply ended."""
    event = last(told)
    match route.partition("/")[0]:
        case "apps":
            return words(event, "event", "reply_status", "finish_reason", "code")
        case "consultant":
            return event["type"], *words(event["data"], "status", "finish_reason", "code")
        case "personas":
            return words(event, "type", "status", "finish_reason", "code")
    if "error" in event:
        return "error", event["error"]["code"], "[DONE]" in told.text
    [choice] = event["choices"]
    return choice["finish_reason"], choice.get("status"), "[DONE]" in told.text


ENDINGS: dict[str, Mapping[str, Any]] = {
    "apps/create_message": {
        "completed": ("message_end", "completed", "stop", None),
        "length": ("message_end", "completed", "length", None),
        "stopped": ("message_end", "stopped", None, None),
        "failed": ("error", None, None, "completion_request_error"),
        "interrupted": ("error", None, None, "interrupted"),
    },
    "consultant/stream_message": {
        "completed": ("done", "completed", "stop", None),
        "length": ("done", "completed", "length", None),
        "stopped": ("done", "stopped", None, None),
        "failed": ("error", None, None, "model_error"),
        "interrupted": ("error", None, None, "interrupted"),
    },
    "openai/create_completion": {
        "completed": ("stop", None, True),
        "length": ("length", None, True),
        "stopped": ("stop", "stopped", True),
        "failed": ("error", "model_error", False),
        "interrupted": ("error", "interrupted", False),
    },
    "personas/create_session": {
        "completed": ("done", "completed", "stop", None),
        "length": ("done", "completed", "length", None),
        "stopped": ("done", "stopped", "stop", None),
        "failed": ("error", None, None, "model_error"),
        "interrupted": ("error", None, None, "interrupted"),
    },
}
ENDINGS = {
    **ENDINGS,
    "personas/continue_session": ENDINGS["personas/create_session"],
    "sessions/send_message": ENDINGS["openai/create_completion"],
}


@pytest.mark.parametrize("route", ENDINGS)
def test_a_stream_says_how_it_ended(
    say: Callable[..., Reply], resume: Resume, died: Callable[[str], str], route: str
) -> None:
    completed = say(route, {"text": "We have "})
    told = {
        "completed": completed,
        "length": say(route, {"text": "We have "}, {"finish": "length"}),
        "failed": say(route, {"text": "We have "}, {"fail": "error"}),
        "interrupted": resume(died(completed.headers["x-parley-turn"])),
    }
    expected = {name: ENDINGS[route][name] for name in told}
    assert {name: ending(route, reply) for name, reply in told.items()} == expected
    assert "We have " in told["interrupted"].text


@pytest.mark.parametrize("route", ENDINGS)
def test_a_stopped_stream_says_so(say: Callable[..., Reply], stopped: None, route: str) -> None:
    told = say(route, {"text": "We have "}, AN_HOUR)
    assert "We have " in told.text
    assert ending(route, told) == ENDINGS[route]["stopped"]


@pytest.mark.parametrize("route", BLOCKING)
def test_a_stopped_answer_says_so(
    invoke: Invoke, stopped: None, stored_chat: str, route: str
) -> None:
    field, fields = BLOCKING[route]
    said: Any = f"script:{json.dumps([{'text': 'We have '}, AN_HOUR])}"
    if field == "messages":
        said = [{"role": "user", "content": said}]
    reply = invoke(route, fields={field: said, **fields})
    assert reply.status in {200, 201}
    told = reply.json["choices"][0] if "choices" in reply.json else reply.json
    assert told.get("reply_status", told.get("status")) == "stopped"
    assert "We have " in reply.text


def test_history_says_how_every_reply_ended(
    invoke: Invoke,
    say: Callable[..., Reply],
    died: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    for steps in (
        ({"text": "a"},),
        ({"text": "a"}, {"finish": "length"}),
        ({"text": "a"}, {"fail": "error"}),
    ):
        told = say("sessions/send_message", *steps)
    died(told.headers["x-parley-turn"])
    request.getfixturevalue("stopped")
    say("sessions/send_message", {"text": "a"}, AN_HOUR)

    def replies(history: list[Any], *fields: str) -> list[tuple[Any, ...]]:
        return [tuple(message[field] for field in fields) for message in history]

    plain = [
        ("completed", "stop", None),
        ("completed", "length", None),
        ("failed", None, "model_error"),
        ("interrupted", None, "interrupted"),
        ("stopped", None, None),
    ]
    sessions = invoke("sessions/get_history", query=None).json["messages"][1::2]
    assert replies(sessions, "status", "finishReason", "error") == plain
    tenant = invoke("tenant/list_messages", query=None).json["messages"][1::2]
    assert replies(tenant, "status", "finish_reason", "error") == plain
    consultant = invoke("consultant/get_history", query=None).json[1::2]
    assert replies(consultant, "status", "finish_reason") == [each[:2] for each in plain]
    query = {"user": "user-81", "conversation_id": str(ConversationId(NUMBER))}
    apps = invoke("apps/list_messages", query=query).json["data"]
    assert replies(apps, "reply_status", "finish_reason", "error") == plain
    assert replies(apps, "status") == [
        ("normal",),
        ("normal",),
        ("error",),
        ("error",),
        ("normal",),
    ]
