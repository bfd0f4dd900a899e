"""A turn: durable before the model is asked, streamed as made, settled whatever happens."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace

import pytest

from parley.adapters.system import RandomIds
from parley.domain.conversations import (
    MAX_TEXT_BYTES,
    FinishReason,
    Message,
    Parameters,
    Role,
    Status,
    Usage,
)
from parley.domain.errors import (
    Conflict,
    InvalidRequest,
    MessageTooLong,
    ModelError,
    ModelNotFound,
    ModelThrottled,
    NotFound,
    StoreUnavailable,
)
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tools import ToolCall
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    Finished,
    ModelEvent,
    PromptMessage,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageRecord,
)
from parley.services.choices import results, side_by_side
from parley.services.conversations import Conversations
from parley.services.turns import Turn, Turns
from tests.support.clock import ManualClock
from tests.support.turns import CALLER, COMPLETED, HELLO, PROMPT, TENANT, OnlyPlayed, World

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


async def test_what_was_said_is_durable_before_the_model_is_asked(world: World) -> None:
    conversation = await world.chat()
    seen: list[tuple[Message, ...]] = []
    heads = world.store._messages[TENANT.id, conversation.id]
    world.model.on_ask = lambda: seen.append(tuple(heads))
    await (await world.say(conversation, "Remember me")).result()
    [(user, reply)] = seen
    assert (user.text, user.status) == ("Remember me", Status.COMPLETED)
    assert (reply.role, reply.status, reply.text) == (Role.ASSISTANT, Status.PENDING, "")


async def test_the_events_are_the_models_deltas_and_the_settled_reply(world: World) -> None:
    conversation = await world.chat()
    turn = await world.say(conversation)
    events = [event async for event in turn.events()]
    assert events[:-1] == [TextDelta("Hel"), TextDelta("lo")]
    [_, stored] = await world.history(conversation)
    assert events[-1] == Finished(stored)
    assert stored.id == turn.reply.id
    assert (stored.text, stored.status) == ("Hello", Status.COMPLETED)
    assert (stored.finish_reason, stored.usage) == (FinishReason.STOP, Usage(3, 2))


async def test_a_settled_turn_has_exactly_one_ledger_line(world: World) -> None:
    conversation = await world.chat(user="u-1", model="small")
    turn = await world.say(conversation)
    await turn.result()
    [line] = world.store.ledger
    assert (line.tenant, line.user, line.key_id, line.dialect) == ("acme", "u-1", "key_1", "test")
    assert (line.turn, line.model, line.status) == (turn.reply.id, "small", Status.COMPLETED)
    assert line.usage == Usage(3, 2)


async def test_the_model_sees_system_prompt_and_history(world: World) -> None:
    conversation = await world.chat(system_prompt="Be kind.")
    await (await world.say(conversation, "one")).result()
    await (await world.say(conversation, "two")).result()
    shown = [(message.role.value, message.text) for message in world.model.asked[-1].messages]
    assert shown == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "Hello"),
        ("user", "two"),
    ]
    assert world.model.asked[-1].model == "m-1"


async def test_a_refusal_before_acceptance_is_raised_and_the_turn_is_settled_as_failed(
    world: World,
) -> None:
    world.model.plays = (ModelThrottled("Too busy."),)
    conversation = await world.chat()
    with pytest.raises(ModelThrottled):
        await world.say(conversation, "Hi")
    [user, reply] = await world.history(conversation)
    assert (user.text, user.status) == ("Hi", Status.COMPLETED)
    assert (reply.text, reply.status, reply.error) == ("", Status.FAILED, "model_throttled")
    assert [line.status for line in world.store.ledger] == [Status.FAILED]


async def test_a_failure_midway_keeps_what_there_was_and_does_not_look_complete(
    world: World,
) -> None:
    world.model.plays = (Accepted(), TextDelta("Hal"), ModelError("Gone."))
    conversation = await world.chat()
    turn = await world.say(conversation)
    with pytest.raises(ModelError, match="Gone"):
        await turn.result()
    [_, reply] = await world.history(conversation)
    assert (reply.text, reply.status, reply.finish_reason) == ("Hal", Status.FAILED, None)


@pytest.mark.parametrize(
    "plays",
    [(Accepted(), TextDelta("Hal")), (Accepted(), ValueError("an adapter's own mistake"))],
    ids=["it just stops", "it raises anything"],
)
async def test_a_model_that_breaks_its_promise_is_a_failure_not_an_end(
    world: World, plays: tuple[ModelEvent, ...]
) -> None:
    world.model.plays = plays
    turn = await world.complete()
    with pytest.raises(ModelError):
        await turn.result()
    assert [line.status for line in world.store.ledger] == [Status.FAILED]


async def test_a_stored_turn_goes_on_when_its_client_leaves(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), gate, TextDelta("lo"), COMPLETED)
    conversation = await world.chat()
    turn = await world.say(conversation)
    async with aclosing(turn.events()) as events:
        assert await anext(events) == TextDelta("Hel")
    gate.set()
    await world.turns.drain()
    [_, reply] = await world.history(conversation)
    assert (reply.text, reply.status) == ("Hello", Status.COMPLETED)


async def test_a_stateless_completion_is_cancelled_when_its_client_leaves(world: World) -> None:
    never = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), never)
    turn = await world.complete()
    async with aclosing(turn.events()) as events:
        assert await anext(events) == TextDelta("Hel")
    await world.turns.drain()
    assert world.model.closed == 1
    kept = await world.store.get_completion(CALLER.scope, turn.reply.id)
    assert (kept.text, kept.status) == ("Hel", Status.STOPPED)
    assert [line.status for line in world.store.ledger] == [Status.STOPPED]


async def test_leaving_before_the_model_accepts_cancels_only_a_stateless_call(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (gate, *HELLO)

    async def leave(call: Coroutine[None, None, Turn]) -> None:
        asked = asyncio.Event()
        world.model.on_ask = asked.set
        waiting = asyncio.create_task(call)
        await asked.wait()
        waiting.cancel()
        await asyncio.wait({waiting})

    await leave(world.complete())
    await world.turns.drain()
    await leave(world.say(await world.chat()))
    gate.set()
    await world.turns.drain()
    statuses = [line.status for line in world.store.ledger]
    assert statuses == [Status.STOPPED, Status.COMPLETED]


async def test_a_stopped_turn_keeps_what_there_was_and_tells_its_end(world: World) -> None:
    never = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), never)
    conversation = await world.chat()
    turn = await world.say(conversation)
    async with aclosing(turn.events()) as events:
        assert await anext(events) == TextDelta("Hel")
        await world.turns.stop(CALLER, turn.reply.id)
        ended = await anext(events)
    [_, stored] = await world.history(conversation)
    assert ended == Finished(stored)
    assert (stored.text, stored.status) == ("Hel", Status.STOPPED)


async def test_a_turn_is_stopped_from_another_process_too(world: World) -> None:
    world.model.plays = (Accepted(), TextDelta("Hel"), asyncio.Event())
    conversation = await world.chat()
    turn = await world.say(conversation)
    elsewhere = Turns(world.store, OnlyPlayed(world.model), ManualClock(), RandomIds())
    await elsewhere.stop(CALLER, turn.reply.id)
    assert (await turn.result()).status is Status.STOPPED


async def test_a_turn_stopped_before_the_model_accepts_ends_too(world: World) -> None:
    asked = asyncio.Event()
    world.model.on_ask = asked.set
    world.model.plays = (asyncio.Event(), *HELLO)
    conversation = await world.chat()
    saying = asyncio.create_task(world.say(conversation))
    await asked.wait()
    [_, pending] = await world.history(conversation)
    await world.turns.stop(CALLER, pending.id)
    reply = await (await saying).result()
    assert (reply.text, reply.status) == ("", Status.STOPPED)


async def test_strangers_cannot_stop_a_turn(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (Accepted(), gate, TextDelta("Hello"), COMPLETED)
    turn = await world.say(await world.chat(user="alice"))
    with pytest.raises(NotFound):
        await world.turns.stop(replace(CALLER, user="bob"), turn.reply.id)
    gate.set()
    assert (await turn.result()).text == "Hello"


async def test_an_accepted_message_is_answered_by_whoever_takes_it_up(world: World) -> None:
    conversation = await world.chat(system_prompt="Be kind.")
    await (await world.say(conversation, "one")).result()
    question, pending, _ = await world.turns.accept(
        CALLER, conversation.id, dialect="test", text="two"
    )
    assert (question.text, pending.status) == ("two", Status.PENDING)
    elsewhere = Turns(world.store, OnlyPlayed(world.model), ManualClock(), RandomIds())
    reply = await (await elsewhere.take_up(CALLER, pending.id)).result()
    assert (reply.id, reply.text, reply.status) == (pending.id, "Hello", Status.COMPLETED)
    shown = [message.text for message in world.model.asked[-1].messages]
    assert shown == ["Be kind.", "one", "Hello", "two"]


async def test_what_has_been_answered_is_not_taken_up_again(world: World) -> None:
    conversation = await world.chat()
    _, pending, _ = await world.turns.accept(CALLER, conversation.id, dialect="test", text="Hi")
    await (await world.turns.take_up(CALLER, pending.id)).result()
    with pytest.raises(Conflict):
        await world.turns.take_up(CALLER, pending.id)
    with pytest.raises(NotFound):
        await world.turns.take_up(CALLER, MessageId(conversation.id, 9))


async def test_a_turns_parameters_win_over_the_conversations(world: World) -> None:
    conversation = await world.conversations.create(
        CALLER, parameters=Parameters(temperature=0.2, max_tokens=50)
    )
    turn = await world.turns.send(
        CALLER,
        conversation.id,
        dialect="test",
        text="Hi",
        parameters=Parameters(temperature=0.9),
        briefing="The shop is closed.",
    )
    await turn.result()
    [request] = world.model.asked
    assert request.parameters == Parameters(temperature=0.9, max_tokens=50)
    assert request.messages[0] == PromptMessage(Role.SYSTEM, "The shop is closed.")


async def test_a_reply_that_could_not_be_settled_is_not_called_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(reply: Message, record: UsageRecord, last: object) -> bool:
        raise StoreUnavailable("No store.")

    monkeypatch.setattr(world.store, "settle", refuse)
    turn = await world.say(await world.chat())
    with pytest.raises(StoreUnavailable):
        await turn.result()


async def test_two_turns_at_once_are_both_kept_in_one_order(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (Accepted(), gate, TextDelta("Hello"), COMPLETED)
    conversation = await world.chat()
    first, second = await asyncio.gather(
        world.say(conversation, "one"), world.say(conversation, "two")
    )
    gate.set()
    await asyncio.gather(first.result(), second.result())
    history = await world.history(conversation)
    assert [message.id.sequence for message in history] == [1, 2, 3, 4]
    assert [message.role for message in history] == [Role.USER, Role.ASSISTANT] * 2
    assert {history[0].text, history[2].text} == {"one", "two"}
    assert all(message.status is Status.COMPLETED for message in history)


async def test_nothing_is_stored_of_what_is_refused(world: World) -> None:
    conversation = await world.chat()
    refused: list[tuple[type[Exception], ConversationId, str, str | None]] = [
        (MessageTooLong, conversation.id, "x" * (MAX_TEXT_BYTES + 1), None),
        (ModelNotFound, conversation.id, "Hi", "unknown"),
        (NotFound, ConversationId(77), "Hi", None),
        (InvalidRequest, conversation.id, "refuse", None),
    ]
    for error, conversation_id, text, model in refused:
        with pytest.raises(error):
            await world.turns.send(
                CALLER,
                conversation_id,
                dialect="test",
                text=text,
                parameters=Parameters(),
                model=model,
            )
    assert await world.history(conversation) == ()
    assert world.model.asked == []


async def test_another_users_conversation_does_not_exist(world: World) -> None:
    conversation = await world.chat(user="alice")
    bob = replace(CALLER, user="bob")
    with pytest.raises(NotFound):
        await world.turns.send(
            bob, conversation.id, dialect="test", text="Hi", parameters=Parameters()
        )
    assert await world.history(conversation) == ()


async def test_a_taken_id_is_replaced_by_a_fresh_one(world: World) -> None:
    numbers = iter([5, 5, 6])
    ids = RandomIds()
    ids.conversation = lambda: ConversationId(next(numbers))  # type: ignore[method-assign]
    conversations = Conversations(world.store, ManualClock(), ids)
    made = [(await conversations.create(CALLER, title=title)).id.number for title in ("a", "b")]
    assert made == [5, 6]


async def test_thoughts_and_calls_are_settled_with_the_reply(world: World) -> None:
    world.model.plays = (
        Accepted(),
        ReasoningDelta("Let me "),
        ReasoningDelta("see."),
        ToolCallDelta(1, "", id="b", name="g"),
        ToolCallDelta(0, "", id="a", name="f"),
        ToolCallDelta(0, '{"x":'),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, "1}"),
        Completed(FinishReason.TOOL_CALLS, Usage(3, 2)),
    )
    chat = await world.chat()
    reply = await (await world.say(chat)).result()
    assert reply.reasoning == "Let me see."
    assert reply.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    assert (await world.history(chat))[-1] == reply


async def test_probabilities_are_told_to_the_caller_only(world: World) -> None:
    world.model.plays = (
        Accepted(),
        TextDelta("a", ({"token": "a"},)),
        TextDelta("b", ({"token": "b"},)),
        COMPLETED,
    )
    turn = await world.complete()
    await turn.result()
    assert turn.logprobs == [{"token": "a"}, {"token": "b"}]


async def complete_often(world: World, times: int) -> tuple[Turn, ...]:
    request = CompletionRequest(model="small", messages=PROMPT)
    return await world.turns.complete_often(CALLER, request, times, dialect="test")


async def test_a_prompt_is_answered_several_times_side_by_side(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hi"), gate, COMPLETED)
    turns = await complete_often(world, 3)
    assert len(world.model.asked) == 3
    gate.set()
    replies = await results(side_by_side(turns))
    assert [reply.text for reply in replies] == ["Hi"] * 3
    assert sorted(line.turn for line in world.store.ledger) == sorted(each.id for each in replies)


async def test_where_one_answer_is_refused_the_others_are_cancelled(world: World) -> None:
    def refuse_from_now_on() -> None:
        if len(world.model.asked) == 2:
            world.model.plays = (ModelThrottled("Later."),)

    world.model.plays = (Accepted(), asyncio.Event())
    world.model.on_ask = refuse_from_now_on
    with pytest.raises(ModelThrottled):
        await complete_often(world, 2)
    await world.turns.drain()
    assert world.model.closed == 2
    statuses = sorted(line.status for line in world.store.ledger)
    assert statuses == [Status.FAILED, Status.STOPPED]


async def test_where_one_answer_fails_the_others_are_cancelled(world: World) -> None:
    gate = asyncio.Event()
    world.model.plays = (Accepted(), gate, ModelError("No."))
    world.model.on_ask = lambda: None
    first = await world.complete()
    world.model.plays = (Accepted(), asyncio.Event())
    turns = (first, await world.complete())
    gate.set()
    with pytest.raises(ModelError):
        await results(side_by_side(turns))
    await world.turns.drain()
    assert world.model.closed == 2
