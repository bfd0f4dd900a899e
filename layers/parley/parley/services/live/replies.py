"""Answers accepted messages and writes the replies into their chats' logs as they are made."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta

from parley.domain.conversations import Message, Scope, Status
from parley.domain.errors import Conflict, NotFound, ParleyError
from parley.domain.ids import MessageId
from parley.domain.sockets import (
    LOG_LIFETIME,
    Answer,
    ChatEvent,
    ChatRef,
    ErrorOccurred,
    MessageReceived,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
)
from parley.domain.tenants import Caller
from parley.domain.turns import LEASE_SECONDS, Failed, Finished, TextDelta
from parley.ports import Clock, ConversationStore, EventLog
from parley.services.live.courier import Courier
from parley.services.live.wire import Wire, pieces
from parley.services.turns import Turn, Turns
from parley.services.turns.recovery import Recovery, stored
from parley.services.turns.turn import error_of

log = logging.getLogger(__name__)

ENTRIES_READ_AT_ONCE = 1000

MESSAGES_LOOKED_AT = 10
"""The newest, in which a reply whose worker died is looked for."""


class Replies:
    """Answers messages; what a reply becomes doesn't depend on anybody listening."""

    def __init__(
        self,
        *,
        turns: Turns,
        store: ConversationStore,
        events: EventLog,
        courier: Courier,
        wire: Wire,
        clock: Clock,
        write_seconds: float = 0.1,
    ) -> None:
        """Put the ports in place.

        Args:
            write_seconds: what a model says in this time is written as one entry, so that the
                number of writes doesn't depend on how small its pieces are.
        """
        self._turns = turns
        self._store = store
        self._recovery = Recovery(store, clock)
        self._events = events
        self._courier = courier
        self._wire = wire
        self._clock = clock
        self._write_seconds = write_seconds

    async def answer(self, caller: Caller, job: Answer) -> bool:
        """Answer a message and return when all is told; False where another does, or did."""
        chat = job.connection.chat
        if not await self._events.claim(chat.tenant, job.turn):
            return False
        async with self._courier.on_duty(chat) as news:
            script = _Script(self._events, self._clock, chat, news)
            try:
                turn = await self._turns.take_up(caller, job.turn)
            except Conflict:  # it has ended before anybody answered it
                return False
            except ParleyError as error:
                script.say(ErrorOccurred(self._wire.describe(error), job.turn))
            else:
                script.say(ReplyStarted(job.turn))
                await self._follow(turn, script)
            await script.end()
        await self._courier.see_off(chat, script.position)
        return True

    async def end_dead(self, chat: ChatRef) -> None:
        """End the newest replies whose workers died, and tell of each once."""
        try:
            _, newest = await self._store.get_with_newest(
                Scope(chat.tenant), chat.conversation, MESSAGES_LOOKED_AT
            )
        except NotFound:
            return
        for reply in await self._recovery.mend_all(chat.tenant, newest):
            if self._is_of_a_dead_worker(reply) and await self._events.claim(
                chat.tenant, reply.id, ends=True
            ):
                told = ErrorOccurred(self._wire.describe(error_of(reply)), reply.id)
                await self._events.append(chat, told, at=self._clock.now())

    async def end_untold(self, job: Answer) -> None:
        """Tell the rest of a reply, once, whose worker died when it had settled it.

        It takes all that was told since the connection was opened over which it was asked for;
        where the question isn't among that, nothing is told.
        """
        chat, turn = job.connection.chat, job.turn
        try:
            reply = await stored(self._store, chat.tenant, turn)
        except NotFound:
            return
        if not self._is_long_over(reply):
            return
        told = await self._told(job)
        if told.is_over or not told.is_whole or not reply.text.startswith(told.text):
            return
        if not await self._events.claim(chat.tenant, turn, ends=True):
            return
        script = _Script(self._events, self._clock, chat, asyncio.Event())
        for event in self._rest(reply, told):
            script.say(event)
        await script.end()

    async def _told(self, job: Answer) -> "_Told":
        told, position = _Told(job.turn), job.connection.cursor
        while not told.is_over:
            entries, _ = await self._events.read(
                job.connection.chat, after=position, limit=ENTRIES_READ_AT_ONCE
            )
            if not entries:
                break
            position = entries[-1].position
            for entry in entries:
                told.add(entry.event)
        return told

    def _rest(self, reply: Message, told: "_Told") -> Iterator[ChatEvent]:
        if reply.status is Status.FAILED:
            yield ErrorOccurred(self._wire.describe(error_of(reply)), reply.id)
            return
        if not told.has_started:
            yield ReplyStarted(reply.id)
        rest = reply.text.removeprefix(told.text)
        if rest:
            yield ReplyText(reply.id, rest)
        yield ReplyEnded(reply.id, reply.status, reply.finish_reason, reply.usage)

    def _is_long_over(self, reply: Message) -> bool:
        """Whether it was settled by a worker that would have told of its end by now."""
        return (
            reply.status not in {Status.PENDING, Status.INTERRUPTED}
            and reply.ended_at is not None
            and timedelta(seconds=LEASE_SECONDS) < self._clock.now() - reply.ended_at < LOG_LIFETIME
        )

    def _is_of_a_dead_worker(self, reply: Message) -> bool:
        return (
            reply.status is Status.INTERRUPTED
            and reply.ended_at is not None
            and self._clock.now() - reply.ended_at < LOG_LIFETIME
            and reply.origin is not None
            and reply.origin.dialect == self._wire.name
        )

    async def _follow(self, turn: Turn, script: "_Script") -> None:
        """Write down what a turn says until it ends."""
        writing = asyncio.create_task(script.keep_up(self._write_seconds))
        try:
            async with aclosing(turn.events()) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            script.say(ReplyText(turn.reply.id, text))
                        case Finished(reply):
                            script.say(
                                ReplyEnded(reply.id, reply.status, reply.finish_reason, reply.usage)
                            )
                        case Failed(reply, error):
                            if reply.status is Status.INTERRUPTED:  # by another, who took us for
                                return  # dead, and whoever looks next tells of it
                            script.say(ErrorOccurred(self._wire.describe(error), reply.id))
        finally:
            script.is_over.set()
            await writing


class _Told:
    """What a chat was told of a reply."""

    def __init__(self, reply: MessageId) -> None:
        self.is_whole = False
        """Whether it was seen from the question on."""
        self.has_started = False
        self.is_over = False
        self.text = ""
        self._reply = reply
        self._question = MessageId(reply.conversation, reply.sequence - 1)

    def add(self, event: ChatEvent) -> None:
        """Note the next event of the chat."""
        match event:
            case MessageReceived(message, to=None) if message == self._question:
                self.is_whole = True
            case ReplyStarted(message) if message == self._reply:
                self.has_started = True
            case ReplyText(message, text) if message == self._reply:
                self.text += text
            case ReplyEnded(message) | ErrorOccurred(_, message, to=None) if message == self._reply:
                self.is_over = True


class _Script:
    """What is to be written into a chat's log, in order."""

    def __init__(self, events: EventLog, clock: Clock, chat: ChatRef, news: asyncio.Event) -> None:
        self.is_over = asyncio.Event()
        self.position = 0
        """Of what was written last."""
        self._events = events
        self._clock = clock
        self._chat = chat
        self._news = news
        self._pending: list[ChatEvent] = []
        self._added = asyncio.Event()

    def say(self, event: ChatEvent) -> None:
        """Note what is to be written."""
        self._pending.append(event)
        self._added.set()

    async def keep_up(self, pause: float) -> None:
        """Write what is noted, again and again with a pause, until the script is over."""
        while not self.is_over.is_set():
            await _either(self._added, self.is_over)
            self._added.clear()
            await self._write()
            await _either(self.is_over, seconds=pause)

    async def end(self) -> None:
        """Write what is left, patiently: a reader waits for it."""
        for pause in (0.2, 1, 5):
            await self._write()
            if not self._pending:
                return
            await asyncio.sleep(pause)
        log.error("the end of a reply could not be told")

    async def _write(self) -> None:
        """Write all that is noted; what can't be written now stays noted."""
        while self._pending:
            event, taken = _first(self._pending)
            part, *rest = _parts(event)
            try:
                entry = await self._events.append(
                    self._chat, part, at=self._clock.now(), behind=self.position
                )
            except ParleyError as error:
                log.warning("an event couldn't be written: %s", error.code)
                return
            self._pending[:taken] = rest
            self.position = entry.position
            self._news.set()


def _first(pending: list[ChatEvent]) -> tuple[ChatEvent, int]:
    """The first event, with pieces of text that follow each other put together; and how many."""
    first = pending[0]
    if not isinstance(first, ReplyText):
        return first, 1
    texts: list[str] = []
    for event in pending:
        if not isinstance(event, ReplyText):
            break
        texts.append(event.text)
    return ReplyText(first.message, "".join(texts)), len(texts)


def _parts(event: ChatEvent) -> list[ChatEvent]:
    """An event, its text cut where a frame can't hold it."""
    if isinstance(event, ReplyText):
        return [ReplyText(event.message, piece) for piece in pieces(event.text)]
    return [event]


async def _either(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of some events is set, or for so many seconds."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
