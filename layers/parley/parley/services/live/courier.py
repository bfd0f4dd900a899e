"""Brings what happens in a chat to its readers: in order, once, by one courier at a time.

Whoever has appended to a chat's log then tries to become its courier. The one who is brings every
reader what lies behind its cursor, whoever appended it. The others may leave it to him, since he
looks at the log once more when he has given up the office:

    courier                              another
    ───────                              ───────
    read the log, tell the readers
                                         append
                                         try to become the courier: refused
    give up the office
    look at the log once more: news
    become the courier again
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from parley.domain.errors import ConnectionGone, ParleyError
from parley.domain.sockets import ChatRef, Entry, ErrorOccurred, MessageReceived, ReplyText
from parley.ports import Clock, Connections, EventLog, Ids, Sockets
from parley.services.live.admission import Admission
from parley.services.live.wire import TEXT_BYTES, Wire, size

log = logging.getLogger(__name__)

READ_AT_ONCE = 200
"""Entries read in one go."""


@dataclass(slots=True)
class _Duty:
    """One courier's time in office."""

    chat: ChatRef
    courier: str
    valid_until: float
    """By the monotonic clock."""
    renewing: asyncio.Task[None] | None = None
    cursors: dict[str, int] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    saved_at: float = 0.0
    is_troubled: bool = False
    """Whether a reader couldn't be told."""

    @property
    def read_from(self) -> int | None:
        """Up to where every reader has been told; None while there are none."""
        return min(self.cursors.values(), default=None)


class Courier:
    """Tells readers what happens."""

    def __init__(
        self,
        *,
        events: EventLog,
        connections: Connections,
        sockets: Sockets,
        admission: Admission,
        wire: Wire,
        clock: Clock,
        ids: Ids,
        lease_seconds: float = 5.0,
        poll_seconds: float = 0.2,
        patience_seconds: float = 10.0,
    ) -> None:
        """Put the ports in place.

        Args:
            lease_seconds: how long others wait for a courier that has died.
            poll_seconds: how often a courier on duty looks for what others have appended.
            patience_seconds: how long what was appended last is followed until it is told.
        """
        self._events = events
        self._connections = connections
        self._sockets = sockets
        self._admission = admission
        self._wire = wire
        self._clock = clock
        self._ids = ids
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._patience_seconds = patience_seconds

    async def deliver(self, chat: ChatRef) -> bool:
        """Tell every reader all there is, unless another courier does that already.

        After `patience_seconds` the rest is left to the next courier. It must not be cancelled: a
        frame that is just being sent would be sent once more by the next.

        Returns:
            Whether all is told, by this one.
        """
        gives_up = self._clock.monotonic() + self._patience_seconds
        while (duty := await self._begin(chat)) is not None:
            try:
                while await self._round(duty) and self._clock.monotonic() < gives_up:
                    pass
            finally:
                await self._end(duty)
            if not await self._is_something_left(duty):
                return True
            if self._clock.monotonic() >= gives_up:
                return False
            if duty.is_troubled:
                await asyncio.sleep(self._poll_seconds)
        return False

    async def see_off(self, chat: ChatRef, position: int) -> None:
        """Return when what was appended up to a position is told, by this courier or another."""
        gives_up = self._clock.monotonic() + self._patience_seconds
        while self._clock.monotonic() < gives_up:
            try:
                if await self.deliver(chat):
                    return
                _, readers = await self._events.read(chat, after=None, limit=READ_AT_ONCE)
                if all(reader.cursor >= position for reader in readers):
                    return
            except ParleyError as error:
                log.warning("events can't be told right now: %s", error.code)
            await asyncio.sleep(self._poll_seconds)

    @asynccontextmanager
    async def on_duty(self, chat: ChatRef) -> AsyncGenerator[asyncio.Event, None]:
        """Tell readers what happens for the length of a block; set the event when there is news."""
        news, over = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(self._serve(chat, news, over))
        try:
            yield news
        finally:
            over.set()
            news.set()
            await serving

    async def _serve(self, chat: ChatRef, news: asyncio.Event, over: asyncio.Event) -> None:
        duty: _Duty | None = None
        while not over.is_set():
            news.clear()
            again = False
            try:
                if duty is not None and not self._holds(duty):
                    await self._end(duty)
                    duty = None
                duty = duty or await self._begin(chat)
                again = duty is not None and await self._round(duty)
            except ParleyError as error:
                log.warning("events can't be told right now: %s", error.code)
            if not again and not over.is_set():
                await _wait(news, self._poll_seconds)
        if duty is not None:
            await self._end(duty)

    async def _begin(self, chat: ChatRef) -> _Duty | None:
        duty = _Duty(chat, self._ids.secret(), 0.0)
        if not await self._lease(duty):
            return None
        duty.renewing = asyncio.create_task(self._renew(duty))
        return duty

    async def _lease(self, duty: _Duty) -> bool:
        asked = self._clock.monotonic()
        until = self._clock.now() + timedelta(seconds=self._lease_seconds)
        if not await self._events.lease(duty.chat, duty.courier, until=until):
            return False
        duty.valid_until = asked + self._lease_seconds
        return True

    async def _renew(self, duty: _Duty) -> None:
        """Keep the office; when another has it, this courier's time simply runs out."""
        while True:
            await asyncio.sleep(self._lease_seconds / 5)
            try:
                if not await self._lease(duty):
                    return
            except ParleyError as error:
                log.warning("a courier's lease wasn't renewed: %s", error.code)

    async def _end(self, duty: _Duty) -> None:
        if duty.renewing is not None:
            duty.renewing.cancel()
        try:
            await self._save(duty)
            await self._events.release(duty.chat, duty.courier)
        except ParleyError as error:
            log.warning("a courier's end wasn't noted: %s", error.code)

    def _holds(self, duty: _Duty) -> bool:
        return self._clock.monotonic() < duty.valid_until

    async def _round(self, duty: _Duty) -> bool:
        """Read the log once and tell all readers what is new to them; whether any was told."""
        after = duty.read_from
        entries, readers = await self._events.read(duty.chat, after=after, limit=READ_AT_ONCE)
        known = duty.cursors
        duty.cursors = {
            reader.connection: known.get(reader.connection, reader.cursor) for reader in readers
        }
        for reader in readers:
            duty.saved.setdefault(reader.connection, reader.cursor)
        if not duty.cursors:
            return False
        if after is None or (duty.read_from or 0) < after:
            return True  # a newcomer is to be told what happened before that: read it first
        told = await asyncio.gather(
            *(self._tell(duty, connection, entries) for connection in list(duty.cursors))
        )
        if self._clock.monotonic() - duty.saved_at >= 1:
            await self._save(duty)
        return any(told) and self._holds(duty)

    async def _tell(self, duty: _Duty, connection: str, entries: Sequence[Entry]) -> bool:
        """Tell one reader what lies behind its cursor; whether it is any further now."""
        began = duty.cursors[connection]
        try:
            for entry in _joined([entry for entry in entries if entry.position > began]):
                if not self._holds(duty):
                    break
                if _concerns(entry, connection):
                    frame = self._wire.happened(duty.chat, entry)
                    await self._sockets.post(connection, frame)
                duty.cursors[connection] = entry.position
        except ConnectionGone:
            del duty.cursors[connection]
            await self._forget(duty.chat, connection)
            return True
        except ParleyError as error:
            duty.is_troubled = True
            log.warning("a connection can't be told right now: %s", error.code)
        return duty.cursors[connection] > began

    async def _forget(self, chat: ChatRef, connection: str) -> None:
        """Take back what a connection that is gone has."""
        try:
            gone = await self._connections.find(connection)
            if gone is not None:
                await self._admission.leave(gone)
            await self._events.unsubscribe(chat, connection)
        except ParleyError as error:
            log.warning("a connection that is gone wasn't forgotten: %s", error.code)

    async def _save(self, duty: _Duty) -> None:
        """Note how far the readers have been told, for the courier after this one."""
        moved = {
            connection: cursor
            for connection, cursor in duty.cursors.items()
            if cursor > duty.saved[connection]
        }
        await asyncio.gather(
            *(self._events.advance(duty.chat, *reader) for reader in moved.items())
        )
        duty.saved |= moved
        duty.saved_at = self._clock.monotonic()

    async def _is_something_left(self, duty: _Duty) -> bool:
        """Whether a reader is behind, or somebody came that this courier hasn't seen."""
        after = duty.read_from
        entries, readers = await self._events.read(duty.chat, after=after, limit=READ_AT_ONCE)
        return bool(entries) or bool(
            {reader.connection for reader in readers} - duty.cursors.keys()
        )


def _concerns(entry: Entry, connection: str) -> bool:
    event = entry.event
    return not isinstance(event, ErrorOccurred | MessageReceived) or event.to in {None, connection}


def _joined(entries: Sequence[Entry]) -> list[Entry]:
    """The same with neighbouring pieces of one reply put together, as many as a frame holds.

    So a reader who is behind catches up in few frames. What is put together has the position of
    its last piece.
    """
    joined: list[Entry] = []
    length = 0
    for entry in entries:
        event = entry.event
        added = size(event.text) if isinstance(event, ReplyText) else 0
        before = joined[-1].event if joined else None
        if (
            isinstance(event, ReplyText)
            and isinstance(before, ReplyText)
            and before.message == event.message
            and length + added <= TEXT_BYTES
        ):
            text = before.text + event.text
            joined[-1] = replace(entry, event=replace(event, text=text))
            length += added
        else:
            joined.append(entry)
            length = added
    return joined


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
