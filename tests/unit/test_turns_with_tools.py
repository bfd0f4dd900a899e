"""Turns of a stored conversation in which calls are asked for, and answered."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from parley.adapters.memory import MemoryConversations
from parley.adapters.models.scripted import ScriptedModel
from parley.adapters.system import RandomIds
from parley.domain.conversations import MAX_TEXT_BYTES, Conversation, Message, Role, Status
from parley.domain.errors import ContextTooLong, InvalidRequest, MessageTooLong
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.domain.tools import Tool, ToolChoice, ToolMode, ToolResult
from parley.domain.turns import Options, ToolCallDelta
from parley.services.conversations import Conversations
from parley.services.turns import Turns
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio

MODELS = {
    "able": ModelRoute("scripted", "m-1"),
    "unable": ModelRoute("scripted", "m-2", lacks=frozenset({"tools"})),
}
CALLER = Caller(
    Tenant(id="acme", created_at=datetime(2026, 1, 1, tzinfo=UTC), models=MODELS),
    "key_1",
    KeyKind.TEST,
)
MUST_CALL = Options(tools=(Tool(name="look"),), tool_choice=ToolChoice(ToolMode.REQUIRED))


class OnlyScripted:
    def serving(self, route: ModelRoute) -> ScriptedModel:
        assert route.backend == "scripted"
        return ScriptedModel(context_window=4000)


class World:
    def __init__(self) -> None:
        clock = ManualClock()
        self.store = MemoryConversations(clock)
        self.conversations = Conversations(self.store, clock, RandomIds())
        self.turns = Turns(self.store, OnlyScripted(), clock, RandomIds())

    async def chat(self) -> Conversation:
        return await self.conversations.create(CALLER)

    async def say(self, conversation: Conversation, text: str, **how: Any) -> Message:
        turn = await self.turns.send(CALLER, conversation.id, dialect="test", text=text, **how)
        return await turn.result()

    async def give(self, conversation: Conversation, *results: ToolResult, **how: Any) -> Message:
        turn = await self.turns.send(
            CALLER, conversation.id, dialect="test", tool_results=results, **how
        )
        return await turn.result()

    async def shown(self, conversation: Conversation, **how: Any) -> list[dict[str, Any]]:
        """What the model is shown in the turn that follows, before what is said in it."""
        reply = await self.say(conversation, 'script:[{"echo": "request"}]', **how)
        messages: list[dict[str, Any]] = json.loads(reply.text)["messages"]
        return messages[:-1]

    async def history(self, conversation: Conversation) -> tuple[Message, ...]:
        _, page = await self.conversations.history(CALLER, conversation.id, limit=1000)
        return page.items


@pytest.fixture
def world() -> World:
    return World()


async def test_calls_are_answered_in_the_next_turn_and_shown_in_all_that_follow(
    world: World,
) -> None:
    conversation = await world.chat()
    asked = await world.say(conversation, "Look.", options=MUST_CALL)
    (call,) = asked.tool_calls
    answered = await world.give(conversation, ToolResult(call.id, "A castle."))

    _, _, given, _ = await world.history(conversation)
    assert (given.role, given.text, given.status) == (Role.TOOL, "", Status.COMPLETED)
    assert given.tool_results == (ToolResult(call.id, "A castle."),)
    for _ in range(2):
        shown = await world.shown(conversation)
        assert shown[:4] == [
            {"role": "user", "text": "Look."},
            {
                "role": "assistant",
                "text": "",
                "tool_calls": [{"id": call.id, "name": "look", "arguments": call.arguments}],
            },
            {"role": "tool", "text": "A castle.", "tool_call_id": call.id},
            {"role": "assistant", "text": answered.text},
        ]


async def test_a_model_without_tools_reads_calls_and_results_in_words(world: World) -> None:
    conversation = await world.chat()
    (call,) = (await world.say(conversation, "Look.", options=MUST_CALL)).tool_calls
    await world.give(conversation, ToolResult(call.id, "A castle."))
    shown = await world.shown(conversation, model="unable")
    assert [(message["role"], message["text"]) for message in shown[:3]] == [
        ("user", "Look."),
        ("assistant", f"look({call.arguments})"),
        ("user", "look returned: A castle."),
    ]
    assert not any("tool_calls" in message for message in shown)


async def test_tools_are_those_of_one_turn(world: World) -> None:
    conversation = await world.chat()
    (call,) = (await world.say(conversation, "Look.", options=MUST_CALL)).tool_calls
    reply = await world.give(conversation, ToolResult(call.id, "A castle."))
    assert reply.tool_calls == ()


async def test_calls_are_told_as_they_are_made(world: World) -> None:
    conversation = await world.chat()
    turn = await world.turns.send(
        CALLER, conversation.id, dialect="test", text="Look.", options=MUST_CALL
    )
    events = [event async for event in turn.events()]
    assert any(isinstance(event, ToolCallDelta) for event in events)


async def test_results_that_can_not_be_taken_leave_nothing_behind(world: World) -> None:
    conversation = await world.chat()
    (call,) = (await world.say(conversation, "Look.", options=MUST_CALL)).tool_calls
    before = await world.history(conversation)
    long_text = "\x00" * (MAX_TEXT_BYTES // 6)  # six bytes each, as they are kept
    for result, refusal in [
        (ToolResult("another", "?"), InvalidRequest),
        (ToolResult(call.id, long_text), MessageTooLong),
        (ToolResult(call.id, "word " * 10_000), ContextTooLong),
    ]:
        with pytest.raises(refusal):
            await world.give(conversation, result)
    assert await world.history(conversation) == before


async def test_a_page_of_history_ends_where_its_results_grow_too_large(world: World) -> None:
    conversation = await world.chat()
    at = conversation.created_at
    for _ in range(3):
        head = await world.store.get(CALLER.scope, conversation.id)
        results = (ToolResult("a", "x" * 900_000), ToolResult("b", "x" * 900_000))
        await world.store.append_turn(head, text="", model="able", at=at, tool_results=results)
    _, page = await world.conversations.history(CALLER, conversation.id, limit=100)
    assert page.has_more
    assert len(page.items) == 4
