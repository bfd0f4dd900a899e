"""A turn's states under every order of events: sent, told, broken off, repeated, stopped, read."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.adapters.dynamodb.requests import DynamoRequests
from parley.adapters.memory import MemoryConversations
from parley.adapters.system import RandomIds, SystemClock
from parley.domain.conversations import FinishReason, Message, Role, Status, Usage
from parley.domain.errors import Interrupted, ModelError, ModelUnavailable, ParleyError
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller, KeyKind, Tenant, TurnRules
from parley.domain.turns import (
    CHECKPOINT_SECONDS,
    LEASE_SECONDS,
    Accepted,
    Completed,
    CompletionRequest,
    Failed,
    Finished,
    ModelEvent,
    PromptMessage,
    TextDelta,
    UsageRecord,
)
from parley.ports import ConversationStore, Requests
from parley.services.conversations import Conversations
from parley.services.turns import Turn, Turns
from tests.durability.effort import FIRST_SEED, SEEDS, effort
from tests.support.clock import NOON
from tests.support.virtual_time import LoopClock, VirtualTimeLoop

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

CALL_SECONDS = 0.01
"""A call of the store takes so long to get there, and its answer as long to come back."""

STREAMED: Mapping[str, Any] = {"stream": True}

MOMENTS = (0.005, 0.05, 0.3, CHECKPOINT_SECONDS, 3.0, LEASE_SECONDS - 1, LEASE_SECONDS + 5)


@dataclass(frozen=True)
class Speech:
    """What a model says to one message."""

    accepts_after: float
    pauses: tuple[float, ...]
    """Seconds before each piece."""
    end: str
    """How it ends: completed, error, never, or refused before its beginning."""

    @property
    def pieces(self) -> list[str]:
        return [f"p{number} " for number in range(len(self.pauses))]


SPEECHES = st.builds(
    Speech,
    accepts_after=st.sampled_from([0.0, 0.4, 30.0]),
    pauses=st.lists(st.sampled_from([0.0, 0.02, 0.4, 1.3, 7.0]), max_size=12).map(tuple),
    end=st.sampled_from(["completed", "completed", "error", "never", "refused"]),
)


class Process:
    """One process of the product: it can be paused and killed, at a call of the store, too."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.is_dead = self.was_paused = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.store = cast("ConversationStore", Wire(self, world.store))
        self.requests = cast("Requests", Wire(self, world.requests))
        self.turns = Turns(self.store, OneModel(self), world.clock, RandomIds())
        self.conversations = Conversations(self.store, world.clock, RandomIds())

    async def is_alive(self) -> None:
        """Return once this process runs, never if it is dead."""
        while self.is_dead or not self.goes_on.is_set():
            await self.goes_on.wait()
            if self.is_dead:
                await asyncio.Event().wait()

    def kill(self) -> None:
        self.is_dead = True
        for running in list(self.turns._running.values()):
            running._asking.cancel()
            running.seeing_through.cancel()


class OneModel:
    """The model as one process asks it: it says what the world has for the newest message."""

    context_window = 100_000

    def __init__(self, process: Process) -> None:
        self._process = process

    def serving(self, route: ModelRoute) -> "OneModel":
        return self

    def check(self, request: CompletionRequest) -> None:
        """It can do everything."""

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        text = request.messages[-1].text
        speech = self._process.world.speeches[text]
        self._process.world.asked[text] += 1
        await self._pause(speech.accepts_after)
        if speech.end == "refused":
            raise ModelUnavailable("It is closed.")
        yield Accepted()
        for pause, piece in zip(speech.pauses, speech.pieces, strict=True):
            await self._pause(pause)
            yield TextDelta(piece)
        if speech.end == "error":
            raise ModelError("It broke.")
        if speech.end == "never":
            await asyncio.Event().wait()
        yield Completed(FinishReason.STOP, Usage(3, len(speech.pauses)))

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._process.goes_on.wait()


class Wire:
    """The way of a process to the store: on either leg of it the process may die or be paused."""

    def __init__(self, process: Process, store: object) -> None:
        self._process = process
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation = getattr(self._store, name)
        loop = self._process.world.loop

        async def call(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(CALL_SECONDS)
            await self._process.is_alive()
            try:
                with loop.calling_outside():
                    return await operation(*args, **kwargs)
            finally:
                await asyncio.sleep(CALL_SECONDS)
                await self._process.is_alive()

        return call


@dataclass
class Client:
    """Somebody who asked for a turn, and what he was told."""

    process: Process
    talk: "Talk"
    text: str
    key: str | None
    in_conversation: bool = field(kw_only=True)
    after: int = 0
    turn: MessageId | None = None
    heard: list[tuple[float, str]] = field(default_factory=list)
    end: Finished | Failed | None = None
    error: ParleyError | None = None
    cut_at: float | None = None
    is_told_again: bool = False
    task: "asyncio.Task[None] | None" = None

    @property
    def pieces(self) -> list[str]:
        return [piece for _, piece in self.heard]


class World:
    """A store, two tenants, processes and clients, on a clock of their own."""

    def __init__(self, loop: VirtualTimeLoop, stores: "Stores") -> None:
        self.loop = loop
        self.clock = stores.clock
        self.store = stores.conversations
        self.requests = stores.requests
        self.ledger = stores.ledger
        free = Tenant(
            id=stores.tenant,
            created_at=self.clock.now(),
            models={"small": ModelRoute("played", "m")},
        )
        rules = TurnRules(one_at_a_time=True, completions_run_on=True)
        strict = replace(free, id=f"{free.id}-strict", turns=rules)
        self.callers = [Caller(each, f"key of {each.id}", KeyKind.TEST) for each in (free, strict)]
        self.speeches: dict[str, Speech] = {}
        self.asked: Counter[str] = Counter()
        """How often the model was asked to reply to a message."""
        self.clients: list[Client] = []
        self.processes = [Process(self), Process(self)]
        self.reader = Process(self)
        """It is never killed nor paused."""
        self.talks: list[Talk] = []

    async def begin(self) -> None:
        """Begin a conversation of each tenant."""
        for caller in self.callers:
            head = await self.reader.conversations.create(caller)
            self.talks.append(Talk(caller, head.id))

    def ask(
        self,
        process: Process,
        talk: "Talk",
        text: str,
        key: str | None,
        *,
        in_conversation: bool,
    ) -> Client:
        """Have somebody say something."""
        client = Client(process, talk, text, key, in_conversation=in_conversation)
        self._go(client, self._asking(client))
        return client

    def resume(self, process: Process, of: Client, after: int) -> None:
        """Have somebody resume a turn that another one has heard of."""
        assert of.turn is not None
        client = Client(process, of.talk, of.text, None, in_conversation=of.in_conversation)
        client.after = after
        self._go(client, process.turns.hear(of.talk.caller, of.turn, after=after))

    def kill(self, number: int) -> None:
        """Kill a process, with the connections of its clients, and start another."""
        killed = self.processes[number]
        killed.kill()
        for client in self.clients:
            if client.process is killed:
                self.cut(client)
        self.processes[number] = Process(self)

    def cut(self, client: Client) -> None:
        """Cut a client's connection."""
        if client.task is not None and not client.task.done():
            client.cut_at = self.loop.time()
            client.task.cancel()

    def _go(self, client: Client, asking: Coroutine[Any, Any, Turn]) -> None:
        self.clients.append(client)
        client.task = self.loop.create_task(self._hear(client, asking))

    async def _asking(self, client: Client) -> Turn:
        process, talk, text = client.process, client.talk, client.text
        caller, once = talk.caller, None
        if client.key is not None:
            asked = f"{client.in_conversation}: {text}"
            once = Once(tenant=caller.tenant.id, name=client.key, fingerprint=asked)
            before = await process.requests.find(once)
            if before is not None:
                once.check(before)
            once = replace(once, before=before)
        if client.in_conversation:
            return await process.turns.send(
                caller, talk.conversation, dialect="test", text=text, telling=STREAMED, once=once
            )
        request = CompletionRequest(model="small", messages=(PromptMessage(Role.USER, text),))
        [turn] = await process.turns.complete_often(
            caller, request, 1, dialect="test", telling=STREAMED, once=once
        )
        return turn

    async def _hear(self, client: Client, asking: Coroutine[Any, Any, Turn]) -> None:
        try:
            turn = await asking
            client.turn, client.is_told_again = turn.reply.id, turn.is_told_again
            async with aclosing(turn.events()) as events:
                async for event in events:
                    match event:
                        case TextDelta(piece):
                            client.heard.append((self.loop.time(), piece))
                        case Finished() | Failed():
                            client.end = event
        except ParleyError as error:
            client.error = error


@dataclass(frozen=True)
class Talk:
    """A conversation and whose it is."""

    caller: Caller
    conversation: ConversationId


@dataclass(frozen=True)
class Stores:
    """Where a world is kept."""

    tenant: str
    clock: LoopClock
    conversations: ConversationStore
    requests: Requests
    ledger: Callable[[str], Awaitable[Sequence[UsageRecord]]]


CHOICES = st.integers(0, 1_000)
"""Picks one of a list that isn't known beforehand."""


class TurnMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, turns keep their promises."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.world = World(self.loop, self.stores())
        self.numbers = itertools.count(1)
        self.ended: dict[tuple[str, MessageId], Message] = {}
        self.run(self.world.begin())

    def stores(self) -> Stores:
        """New stores for a world."""
        clock = LoopClock(self.loop)
        memory = MemoryConversations(clock)

        async def ledger(tenant: str) -> Sequence[UsageRecord]:
            return [line for line in memory.ledger if line.tenant == tenant]

        return Stores("acme", clock, memory, memory.requests, ledger)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until something is done."""
        return self.loop.run_until_complete(work)

    # What may happen ----------------------------------------------------------------------------

    @rule(
        speech=SPEECHES,
        talk=st.integers(0, 1),
        process=st.integers(0, 1),
        key=st.sampled_from([None, "a", "b", "c"]),
        in_conversation=st.sampled_from([True, True, False]),
    )
    def say(
        self, *, speech: Speech, talk: int, process: int, key: str | None, in_conversation: bool
    ) -> None:
        """Somebody says something new; with a key that was used before, that's another body."""
        text = f"message {next(self.numbers)}"
        self.world.speeches[text] = speech
        self.world.ask(
            self.world.processes[process],
            self.world.talks[talk],
            text,
            key,
            in_conversation=in_conversation,
        )

    @precondition(lambda self: any(client.key for client in self.world.clients))
    @rule(choice=CHOICES, process=st.integers(0, 1))
    def say_again(self, choice: int, process: int) -> None:
        """Somebody repeats a request with its key."""
        first = pick([client for client in self.world.clients if client.key], choice)
        self.world.ask(
            self.world.processes[process],
            first.talk,
            first.text,
            first.key,
            in_conversation=first.in_conversation,
        )

    @precondition(lambda self: any(client.turn for client in self.world.clients))
    @rule(choice=CHOICES, process=st.integers(0, 1), after=st.integers(0, 13))
    def resume(self, choice: int, process: int, after: int) -> None:
        """Somebody goes on hearing a turn, from anywhere."""
        heard = pick([client for client in self.world.clients if client.turn], choice)
        self.world.resume(self.world.processes[process], heard, after)

    @precondition(lambda self: any(client.turn for client in self.world.clients))
    @rule(choice=CHOICES)
    def stop(self, choice: int) -> None:
        """Somebody stops a turn."""
        heard = pick([client for client in self.world.clients if client.turn], choice)
        assert heard.turn is not None
        self.run(self.world.reader.turns.stop(heard.talk.caller, heard.turn))

    @precondition(lambda self: self.world.clients)
    @rule(choice=CHOICES)
    def leave(self, choice: int) -> None:
        """A client leaves."""
        self.world.cut(pick(self.world.clients, choice))

    @rule(process=st.integers(0, 1))
    def kill(self, process: int) -> None:
        """A process dies."""
        self.world.kill(process)

    @rule(process=st.integers(0, 1), is_to_go_on=st.booleans())
    def pause(self, *, process: int, is_to_go_on: bool) -> None:
        """A process is paused, or goes on."""
        paused = self.world.processes[process]
        if is_to_go_on:
            paused.goes_on.set()
        else:
            paused.goes_on.clear()
            paused.was_paused = True

    @rule(process=st.integers(0, 1))
    def sleep_through_a_lease(self, process: int) -> None:
        """A process is paused for so long that others take it for dead."""
        asleep = self.world.processes[process]
        asleep.goes_on.clear()
        asleep.was_paused = True
        self.run(asyncio.sleep(LEASE_SECONDS + 5))
        for talk in self.world.talks:
            self.run(self.history(talk))
        asleep.goes_on.set()

    @rule(seconds=st.sampled_from(MOMENTS))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.run(asyncio.sleep(seconds))

    @rule(talk=st.integers(0, 1))
    def read(self, talk: int) -> None:
        """Somebody reads a history."""
        self.run(self.history(self.world.talks[talk]))

    # What holds always --------------------------------------------------------------------------

    @invariant()
    def what_is_stored_is_whole(self) -> None:
        """Histories are whole turns in order, and what has ended stays as it is."""
        for talk in self.world.talks:
            for message in self.run(self.stored(talk)):
                self.check_unchanged(talk, message)

    @invariant()
    def every_turn_is_counted_once(self) -> None:
        """A turn that has ended has one line in the ledger, another has none."""
        for talk in self.world.talks:
            lines = self.run(self.outside(self.world.ledger(talk.caller.tenant.id)))
            counted = {line.turn: line.status for line in lines}
            assert len(counted) == len(lines)
            for reply in self.run(self.stored(talk))[1::2]:
                expected = None if reply.status is Status.PENDING else reply.status
                assert counted.get(reply.id) == expected

    def teardown(self) -> None:
        """Let everything come to its end; compare what clients were told with what is stored."""
        try:
            self.end()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.run(asyncio.sleep(0))
            self.loop.close()

    def end(self) -> None:
        world = self.world
        for process in world.processes:
            process.goes_on.set()
        self.run(asyncio.sleep(2 * LEASE_SECONDS))  # so that whatever was asked for is known
        for talk in world.talks:
            for reply in self.run(self.stored(talk))[1::2]:
                self.run(world.reader.turns.stop(talk.caller, reply.id))
        for client in world.clients:
            if client.turn is not None:
                self.run(world.reader.turns.stop(client.talk.caller, client.turn))
        self.run(asyncio.sleep(3 * LEASE_SECONDS))
        for talk in world.talks:
            self.check_end(talk)
        for client in world.clients:
            assert client.task is not None
            assert client.task.done()
            with suppress(asyncio.CancelledError):
                client.task.result()
            self.check_heard(client)
        assert max(world.asked.values(), default=1) == 1
        for talk in world.talks:  # no conversation is stuck
            text = f"message {next(self.numbers)}"
            world.speeches[text] = Speech(0, (0,), "completed")
            last = world.ask(world.reader, talk, text, None, in_conversation=True)
            assert last.task is not None
            self.run(asyncio.wait_for(last.task, 5))
            assert isinstance(last.end, Finished)

    def check_end(self, talk: Talk) -> None:
        history = self.run(self.history(talk))
        assert Status.PENDING not in {message.status for message in history}
        texts = [message.text for message in history[::2]]
        assert len(set(texts)) == len(texts)
        self.every_turn_is_counted_once()

    def check_heard(self, client: Client) -> None:
        """Hold what a client was told against what is stored."""
        pieces = self.world.speeches[client.text].pieces
        heard = len(client.heard)
        assert client.pieces == pieces[client.after : client.after + heard]
        if client.turn is None:
            return
        told_again = self.run(self.hear_again(client))
        reply = self.run(self.reply(client))
        assert "".join(told_again) == reply.text
        kept = next(n for n in range(len(pieces) + 1) if "".join(pieces[:n]) == reply.text)
        behind = max(0, kept - client.after)
        if client.end is not None:
            assert client.end.reply == reply
            is_late = isinstance(client.end, Failed) and isinstance(client.end.error, Interrupted)
            if is_late and not client.is_told_again:
                assert heard >= behind  # it was paused, and hasn't noticed at once
            else:
                assert heard == behind
        elif client.error is None:
            assert client.cut_at is not None
            if not client.is_told_again and not client.process.was_paused:
                lost = [at for at, _ in client.heard[behind:]]
                assert all(
                    client.cut_at - at <= CHECKPOINT_SECONDS + 5 * CALL_SECONDS for at in lost
                )

    def check_unchanged(self, talk: Talk, message: Message) -> None:
        name = (talk.caller.tenant.id, message.id)
        if message.status is not Status.PENDING:
            assert self.ended.setdefault(name, message) == message

    async def outside(self, call: Awaitable[T]) -> T:
        with self.loop.calling_outside():
            return await call

    async def stored(self, talk: Talk) -> Sequence[Message]:
        """A history as it is in the store, without anybody mending it."""
        scope = talk.caller.scope
        with self.loop.calling_outside():
            head = await self.world.store.get(scope, talk.conversation)
            messages = await self.world.store.messages(head, first=1, last=head.message_count)
        check_pairs(messages)
        return messages

    async def history(self, talk: Talk) -> Sequence[Message]:
        """A history as it is read."""
        _, page = await self.world.reader.conversations.history(
            talk.caller, talk.conversation, limit=1000
        )
        check_pairs(page.items)
        return page.items

    async def hear_again(self, client: Client) -> Sequence[str]:
        """The pieces of a client's reply as they are told again; it is ended if it is a dead one's.

        Of one that the model refused there are none.
        """
        assert client.turn is not None
        try:
            turn = await self.world.reader.turns.hear(client.talk.caller, client.turn)
        except ModelUnavailable:
            return []
        events = [event async for event in turn.events()]
        return [event.text for event in events if isinstance(event, TextDelta)]

    async def reply(self, client: Client) -> Message:
        """The reply to a client as it is stored."""
        assert client.turn is not None
        with self.loop.calling_outside():
            if client.turn.is_completion:
                return await self.world.store.get_completion(client.talk.caller.scope, client.turn)
            _, reply = await self.world.store.get_message(client.talk.caller.scope, client.turn)
            return reply


def check_pairs(messages: Sequence[Message]) -> None:
    assert [message.id.sequence for message in messages] == list(range(1, len(messages) + 1))
    roles = [message.role for message in messages]
    assert roles == [Role.USER, Role.ASSISTANT] * (len(messages) // 2)


def pick(several: Sequence[T], choice: int) -> T:
    return several[choice % len(several)]


RULES = settings(
    deadline=None,
    database=None,
    print_blob=True,
    stateful_step_count=effort(25, 50),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("number", SEEDS)
def test_no_order_of_events_breaks_a_promise(number: int) -> None:
    seed(number)(TurnMachine)
    run_state_machine_as_test(TurnMachine, settings=settings(RULES, max_examples=effort(60, 400)))


def test_nor_does_any_on_dynamodb(dynamodb: "DynamoDBClient", tables: Tables) -> None:
    class OnDynamoDB(TurnMachine):
        def stores(self) -> Stores:
            clock = LoopClock(self.loop)
            database = Database(dynamodb, SystemClock())
            ledger = DynamoLedger(database, tables)

            async def lines(tenant: str) -> Sequence[UsageRecord]:
                days = {(NOON + timedelta(seconds=self.loop.time())).date(), NOON.date()}
                return [
                    line
                    for day in days
                    async for some in ledger.lines(tenant, day)
                    for line in some
                ]

            return Stores(
                f"tenant-{uuid.uuid4()}",
                clock,
                DynamoConversations(database, tables, clock),
                DynamoRequests(database, tables, clock),
                lines,
            )

    seed(FIRST_SEED)(OnDynamoDB)
    few = settings(RULES, max_examples=effort(2, 50), stateful_step_count=effort(10, 40))
    run_state_machine_as_test(OnDynamoDB, settings=few)
