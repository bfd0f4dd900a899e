"""A turn outlives its process, its client and a retry."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from parley.domain.conversations import Message, Status
from parley.domain.errors import (
    Interrupted,
    KeyReused,
    ModelThrottled,
    ModelUnavailable,
    NotFound,
    StoreUnavailable,
    TurnInProgress,
)
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.tenants import Caller, KeyKind, TurnRules
from parley.domain.turns import (
    LEASE_SECONDS,
    Accepted,
    Checkpoint,
    Completed,
    CompletionRequest,
    Failed,
    Finished,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
    UsageRecord,
)
from parley.services.turns import Turn
from tests.support.lines import Lines
from tests.support.turns import CALLER, COMPLETED, HELLO, PROMPT, TENANT, World, until

pytestmark = pytest.mark.anyio

STREAMED = {"stream": True}
KEY = Once(tenant=TENANT.id, name="a", fingerprint="f")
RULES = TurnRules(one_at_a_time=True)
ALONE = Caller(replace(TENANT, turns=RULES), "key_1", KeyKind.TEST)


@pytest.fixture
def world() -> World:
    return World()


async def heard(turn: Turn) -> list[TurnEvent]:
    return [event async for event in turn.events()]


async def streamed(
    world: World, conversation: ConversationId, *, caller: Caller = CALLER, once: Once | None = None
) -> Turn:
    return await world.turns.send(
        caller, conversation, dialect="test", text="Hi", telling=STREAMED, once=once
    )


async def die_after(world: World, turn: Turn, deltas: int) -> None:
    """Let a turn's process die once so many deltas are kept."""

    async def are_kept() -> bool:
        return sum(len(each.deltas) for each in await kept(world, turn)) >= deltas

    await until(are_kept)
    for name, running in list(world.turns._running.items()):
        if name[1] == turn.reply.id:
            running.seeing_through.cancel()
            running._asking.cancel()
            await asyncio.gather(running.seeing_through, running._asking, return_exceptions=True)


async def kept(world: World, turn: Turn) -> tuple[Checkpoint, ...]:
    return await world.store.checkpoints(TENANT.id, turn.reply.id)


def hanging(*texts: str) -> tuple[ModelEvent | Exception | asyncio.Event, ...]:
    return (Accepted(), *map(TextDelta, texts), asyncio.Event())


async def test_a_dead_turn_is_settled_as_interrupted_with_what_was_kept_of_it(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel", "lo")
    turn = await streamed(world, conversation.id)
    await die_after(world, turn, 2)
    [_, reply] = await world.history(conversation)
    assert reply.status is Status.PENDING
    world.clock.advance(LEASE_SECONDS + 1)
    [_, reply] = await world.history(conversation)
    assert (reply.status, reply.text, reply.error) == (Status.INTERRUPTED, "Hello", "interrupted")
    [line] = world.store.ledger
    assert (line.turn, line.status) == (reply.id, Status.INTERRUPTED)
    assert line.estimated
    assert line.usage is not None
    assert reply.usage is None
    assert (line.user, line.key_id, line.dialect) == (conversation.user, "key_1", "test")


async def test_what_a_process_keeps_of_a_turn_taken_for_dead_is_not_told(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel", "lo")
    turn = await streamed(world, conversation.id)
    await die_after(world, turn, 2)
    world.clock.advance(LEASE_SECONDS + 1)
    await world.history(conversation)
    [*_, last] = await kept(world, turn)
    late = replace(last, number=last.number + 1, shown=2, deltas=(TextDelta("!"),), shows=1)
    await world.store.checkpoint(TENANT.id, turn.reply.id, late)
    told = await heard(await world.turns.hear(CALLER, turn.reply.id))
    assert [each.text for each in told if isinstance(each, TextDelta)] == ["Hel", "lo"]


async def test_a_turn_that_gives_signs_of_life_is_left_alone(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    turn = await streamed(world, conversation.id)
    for _ in range(3):
        world.clock.advance(LEASE_SECONDS - 1)
        signed = world.clock.now()

        async def is_signed(moment: datetime = signed) -> bool:
            return await world.store.last_sign(TENANT.id, turn.reply.id) == moment

        await until(is_signed)
        [_, reply] = await world.history(conversation)
        assert reply.status is Status.PENDING
    await world.turns.stop(CALLER, turn.reply.id)
    assert (await turn.result()).text == "Hel"


async def test_the_next_turn_ends_a_dead_one_before_it_begins(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    await die_after(world, await streamed(world, conversation.id), 1)
    world.clock.advance(LEASE_SECONDS + 1)
    world.model.plays = HELLO
    await (await streamed(world, conversation.id, caller=ALONE)).result()
    statuses = [message.status for message in await world.history(conversation)]
    assert statuses[1::2] == [Status.INTERRUPTED, Status.COMPLETED]


async def test_a_process_that_wakes_up_late_overwrites_nothing(world: World) -> None:
    conversation = await world.chat()
    rest = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), rest, TextDelta("lo"), COMPLETED)
    turn = await streamed(world, conversation.id)
    await until(lambda: kept(world, turn))
    world.turns._running[TENANT.id, turn.reply.id]._watch_seconds = 60  # it is as if paused
    world.clock.advance(LEASE_SECONDS + 1)
    [_, ended] = await world.history(conversation)
    rest.set()
    end = (await heard(turn))[-1]
    assert isinstance(end, Failed)
    assert isinstance(end.error, Interrupted)
    assert end.reply == ended
    assert await world.history(conversation) == (*(await world.history(conversation))[:1], ended)
    assert len(world.store.ledger) == 1


async def test_a_turn_that_another_settled_stops_asking_its_model(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    turn = await streamed(world, conversation.id)
    settled = replace(turn.reply, status=Status.INTERRUPTED)
    assert await world.store.settle(settled, record_of(settled))
    [*_, end] = await heard(turn)
    assert isinstance(end, Failed)
    assert isinstance(end.error, Interrupted)
    assert world.model.closed == 1


def record_of(reply: Message) -> UsageRecord:
    return UsageRecord(
        tenant=TENANT.id,
        user="u",
        key_id="key_1",
        dialect="test",
        turn=reply.id,
        model="small",
        status=reply.status,
        usage=None,
        at=reply.created_at,
    )


@pytest.mark.parametrize("after", range(8))
async def test_a_turn_is_heard_again_from_any_place_on(world: World, after: int) -> None:
    conversation = await world.chat()
    deltas = [TextDelta(text) for text in "abcdef"]
    world.model.plays = (Accepted(), *deltas, COMPLETED)
    turn = await streamed(world, conversation.id)
    first = await heard(turn)
    again = await world.process().hear(CALLER, turn.reply.id, after=after)
    assert await heard(again) == first[min(after, 6) :]


async def test_a_turn_is_heard_while_another_process_runs_it(world: World) -> None:
    conversation = await world.chat()
    rest = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), rest, TextDelta("lo"), COMPLETED)
    turn = await streamed(world, conversation.id)
    again = await world.process().hear(CALLER, turn.reply.id)
    events = again.events()
    assert await anext(events) == TextDelta("Hel")
    rest.set()
    assert [event async for event in events] == (await heard(turn))[1:]


async def test_what_a_dialect_does_not_show_has_no_place(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = (
        Accepted(),
        ReasoningDelta("Hm"),
        TextDelta("a"),
        ReasoningDelta("hm"),
        TextDelta("b"),
        COMPLETED,
    )
    turn = await world.turns.send(
        CALLER, conversation.id, dialect="test", text="Hi", telling={"text_only": True}
    )
    await turn.result()
    again = await heard(await world.turns.hear(CALLER, turn.reply.id, after=1))
    assert [each for each in again if isinstance(each, TextDelta)] == [TextDelta("b")]


async def test_a_turn_that_was_not_streamed_is_not_heard_again(world: World) -> None:
    turn = await world.complete()
    await turn.result()
    with pytest.raises(NotFound):
        await world.turns.hear(CALLER, turn.reply.id)


async def test_a_strangers_turn_is_as_unknown_as_one_that_never_was(world: World) -> None:
    turn = await streamed(world, (await world.chat()).id)
    await turn.result()
    stranger = Caller(replace(TENANT, id="other"), "key_9", KeyKind.TEST)
    for caller, id_ in ((stranger, turn.reply.id), (CALLER, MessageId(ConversationId(7), 2))):
        with pytest.raises(NotFound):
            await world.turns.hear(caller, id_)
        with pytest.raises(NotFound):
            await world.turns.stop(caller, id_)


async def test_a_repeated_request_is_told_the_first_ones_turn(world: World) -> None:
    conversation = await world.chat()
    first = await heard(await streamed(world, conversation.id, once=KEY))
    assert await heard(await streamed(world, conversation.id, once=KEY)) == first
    done = await world.store.requests.find(KEY)
    assert await heard(await streamed(world, conversation.id, once=replace(KEY, before=done))) == (
        first
    )
    assert len(await world.history(conversation)) == 2
    assert len(world.model.asked) == len(world.store.ledger) == 1


async def test_a_request_that_is_repeated_meanwhile_attaches_to_the_first(world: World) -> None:
    conversation = await world.chat()
    rest = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), rest, TextDelta("lo"), COMPLETED)
    turn = await streamed(world, conversation.id, once=KEY)
    retry = asyncio.create_task(streamed(world, conversation.id, once=KEY))
    rest.set()
    assert await heard(await retry) == await heard(turn)
    assert len(world.model.asked) == 1


async def test_a_key_with_another_request_is_refused(world: World) -> None:
    conversation = await world.chat()
    await heard(await streamed(world, conversation.id, once=KEY))
    with pytest.raises(KeyReused):
        await streamed(world, conversation.id, once=replace(KEY, fingerprint="g"))
    assert len(await world.history(conversation)) == 2


@pytest.mark.parametrize("times", [1, 3])
async def test_a_repeated_completion_asks_no_model_again(world: World, times: int) -> None:
    request = CompletionRequest(model="small", messages=PROMPT)

    async def ask() -> list[list[TurnEvent]]:
        turns = await world.turns.complete_often(
            CALLER, request, times, dialect="test", telling=STREAMED, once=KEY
        )
        return [await heard(turn) for turn in turns]

    first = await ask()
    assert await ask() == first
    assert len(world.model.asked) == len(world.store.ledger) == times


@pytest.mark.parametrize("error", [ModelThrottled("Later."), ModelUnavailable("Gone.")])
async def test_a_repeated_request_is_refused_as_the_first_was(
    world: World, error: Exception
) -> None:
    conversation = await world.chat()
    world.model.plays = (error,)
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            await streamed(world, conversation.id, once=KEY)
    assert len(world.model.asked) == 1


async def test_a_reply_that_broke_off_breaks_off_again(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = (Accepted(), TextDelta("Hel"), ModelUnavailable("Gone."))
    [_, end] = await heard(await streamed(world, conversation.id, once=KEY))
    [delta, again] = await heard(await streamed(world, conversation.id, once=KEY))
    assert delta == TextDelta("Hel")
    assert isinstance(end, Failed)
    assert isinstance(again, Failed)
    assert again.reply == end.reply
    assert str(again.error) == str(end.error)


async def test_where_a_tenant_wants_it_a_second_turn_is_refused(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    turn = await streamed(world, conversation.id, caller=ALONE)
    with pytest.raises(TurnInProgress):
        await streamed(world, conversation.id, caller=ALONE)
    await world.turns.stop(ALONE, turn.reply.id)
    await heard(turn)
    world.model.plays = HELLO
    await heard(await streamed(world, conversation.id, caller=ALONE))
    assert len(await world.history(conversation)) == 4


async def test_there_too_who_repeats_a_request_is_told_of_the_turn_it_began(world: World) -> None:
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    turn = await streamed(world, conversation.id, caller=ALONE, once=KEY)
    await until(lambda: kept(world, turn))
    again = await streamed(world, conversation.id, caller=ALONE, once=KEY)
    assert again.reply.id == turn.reply.id
    _, reply, is_repeated = await world.turns.accept(
        ALONE, conversation.id, dialect="test", text="Hi", once=KEY
    )
    assert (reply.id, is_repeated) == (turn.reply.id, True)
    with pytest.raises(TurnInProgress):
        await world.turns.accept(ALONE, conversation.id, dialect="test", text="Hi")
    await world.turns.stop(ALONE, turn.reply.id)
    await heard(turn)
    assert len(await world.history(conversation)) == 2


async def test_a_completion_that_may_be_asked_for_again_is_made_whole(world: World) -> None:
    rest = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), rest, TextDelta("lo"), COMPLETED)
    turn = await completed(world, once=KEY)
    async with aclosing(turn.events()) as events:
        assert await anext(events) == TextDelta("Hel")  # and the client is gone
    rest.set()
    reply = await (await completed(world, once=KEY)).result()
    assert (reply.id, reply.status, reply.text) == (turn.reply.id, Status.COMPLETED, "Hello")
    assert len(world.model.asked) == 1


@pytest.mark.parametrize("is_carried_out", [False, True])
async def test_a_completion_that_could_not_be_kept_is_refused_and_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_carried_out: bool
) -> None:
    """The model was asked meanwhile, and has begun to reply."""
    begin, begun = world.store.begin_completions, asyncio.Event()

    async def fail(*args: Any, **kwargs: Any) -> None:
        await begun.wait()
        if is_carried_out:
            await begin(*args, **kwargs)
        raise StoreUnavailable("No answer.")

    monkeypatch.setattr(world.store, "begin_completions", fail)
    world.model.on_ask = begun.set
    world.model.plays = hanging("Hel")
    with pytest.raises(StoreUnavailable):
        await completed(world)
    [line] = world.store.ledger
    assert (line.status, line.estimated, line.route) == (Status.FAILED, True, "played/m-1")
    assert line.usage is not None
    assert line.usage.prompt_tokens > 0
    assert world.model.closed == 1
    await world.turns.drain()
    if is_carried_out:
        reply = await world.store.get_completion(CALLER.scope, line.turn)
        assert (reply.status, reply.error) == (Status.FAILED, "store_unavailable")


async def test_use_that_a_failing_store_does_not_note_is_told_to_operators(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("No store.")

    for name in ("begin_completions", "settle"):
        monkeypatch.setattr(world.store, name, fail)
    with pytest.raises(StoreUnavailable):
        await completed(world)
    assert "couldn't be noted" in caplog.text


async def completed(world: World, *, once: Once | None = None) -> Turn:
    request = CompletionRequest(model="small", messages=PROMPT)
    [turn] = await world.turns.complete_often(
        CALLER, request, 1, dialect="test", telling=STREAMED, once=once
    )
    return turn


async def test_who_comes_back_costs_one_look_and_what_was_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = await streamed(world, (await world.chat()).id)
    await heard(turn)
    asked: list[tuple[str, dict[str, int]]] = []

    def counted(name: str) -> None:
        method = getattr(world.store, name)

        async def call(*args: object, **kwargs: int) -> object:
            asked.append((name, kwargs))
            return await method(*args, **kwargs)

        monkeypatch.setattr(world.store, name, call)

    for name in ("get_message", "checkpoints", "last_sign"):
        counted(name)
    again = await world.turns.hear(CALLER, turn.reply.id, after=1)
    assert [event for event in await heard(again) if isinstance(event, TextDelta)] == [
        TextDelta("lo")
    ]
    assert asked == [("get_message", {}), ("checkpoints", {"after": 1})]


async def test_a_dead_turn_is_counted_once_when_it_is_found(world: World) -> None:
    world.model.plays = hanging("Hel")
    conversation = await world.chat()
    turn = await streamed(world, conversation.id)
    await die_after(world, turn, 1)
    world.clock.advance(LEASE_SECONDS + 1)
    with Lines.taken() as lines:
        for _ in range(2):
            await world.turns.hear(CALLER, turn.reply.id)
    [line] = lines.of("internal")
    assert line["turn_id"] == str(turn.reply.id)
    assert (line["status"], line["error.type"]) == ("interrupted", "interrupted")
    assert (line["Turns"], line["FailedTurns"]) == (1, 1)


async def test_a_store_that_fails_in_no_way_known_leaves_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> bool:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(world.store, "settle", fail)
    turn = await streamed(world, (await world.chat()).id)
    *_, end = await heard(turn)
    assert isinstance(end, Failed)
    assert "foresaw" not in end.error.message


@pytest.mark.parametrize("runs_on", [True, False])
async def test_a_tenant_says_what_becomes_of_a_turn_whose_client_leaves(
    world: World,
    runs_on: bool,  # noqa: FBT001 - the test's parameter
) -> None:
    rules = TurnRules(stored_run_on=runs_on, completions_run_on=runs_on)
    caller = Caller(replace(TENANT, turns=rules), "key_1", KeyKind.TEST)
    conversation = await world.chat()
    rest = asyncio.Event()
    world.model.plays = (Accepted(), TextDelta("Hel"), rest, TextDelta("lo"), COMPLETED)
    request = CompletionRequest(model="small", messages=PROMPT)
    turns = [
        await streamed(world, conversation.id, caller=caller),
        await world.turns.complete(caller, request, dialect="test"),
    ]
    for turn in turns:
        events = turn.events()
        await anext(events)
        await events.aclose()
    rest.set()
    await world.turns.drain()
    expected = (Status.COMPLETED, "Hello") if runs_on else (Status.STOPPED, "Hel")
    [_, stored] = await world.history(conversation)
    completion = await world.store.get_completion(CALLER.scope, turns[1].reply.id)
    assert [(each.status, each.text) for each in (stored, completion)] == [expected] * 2
    assert len(world.store.ledger) == 2


async def test_a_stateless_completion_can_be_stopped_from_elsewhere(world: World) -> None:
    world.model.plays = hanging("Hel")
    turn = await world.complete()
    await world.process().stop(CALLER, turn.reply.id)
    [_, end] = await heard(turn)
    assert isinstance(end, Finished)
    assert (end.reply.status, end.reply.text) == (Status.STOPPED, "Hel")


async def test_a_reply_of_any_size_is_kept_and_told_again(world: World) -> None:
    conversation = await world.chat()
    text = "ሰላም 🙂" * 60_000
    world.model.plays = (Accepted(), TextDelta(text), Completed(COMPLETED.finish_reason, None))
    turn = await streamed(world, conversation.id)
    first = await heard(turn)
    again = await heard(await world.turns.hear(CALLER, turn.reply.id))
    assert again == first
    assert "".join(each.text for each in again if isinstance(each, TextDelta)) == text


@pytest.mark.parametrize("runs_on", [True, False])
async def test_a_client_may_leave_before_the_model_has_accepted(
    world: World,
    runs_on: bool,  # noqa: FBT001 - the test's parameter
) -> None:
    rules = TurnRules(stored_run_on=runs_on)
    caller = Caller(replace(TENANT, turns=rules), "key_1", KeyKind.TEST)
    conversation = await world.chat()
    accepts, asked = asyncio.Event(), asyncio.Event()
    world.model.plays = (accepts, *HELLO)
    world.model.on_ask = asked.set
    waiting = asyncio.create_task(streamed(world, conversation.id, caller=caller))
    await asked.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    accepts.set()
    await world.turns.drain()
    [_, reply] = await world.history(conversation)
    assert reply.status is (Status.COMPLETED if runs_on else Status.STOPPED)
    assert world.model.closed == 1


async def test_a_turn_is_run_though_its_client_left_while_it_was_appended(world: World) -> None:
    conversation = await world.chat()
    append, appends, appended = world.store.append_turn, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any, **named: Any) -> tuple[Message, Message]:
        appends.set()
        await appended.wait()
        return await append(*args, **named)

    world.store.append_turn = slowly  # type: ignore[method-assign]
    waiting = asyncio.create_task(streamed(world, conversation.id))
    await appends.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    appended.set()

    async def is_answered() -> bool:
        messages = await world.history(conversation)
        return bool(messages) and messages[-1].status is Status.COMPLETED

    await until(is_answered)
