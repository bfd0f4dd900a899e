"""What sockets need, in the memory of one process, for tests."""

import json
from dataclasses import replace
from datetime import datetime
from threading import RLock

from parley.adapters import values
from parley.domain.errors import ConnectionGone
from parley.domain.ids import MessageId
from parley.domain.sockets import (
    BEGINNING,
    LIFETIME,
    LOG_LIFETIME,
    ChatEvent,
    ChatRef,
    Connection,
    Entry,
    Job,
    Reader,
    Slot,
)
from parley.ports import Clock


class MemoryEventLog:
    """The `EventLog` in memory, safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = RLock()
        self._entries: dict[ChatRef, list[Entry]] = {}
        self._readers: dict[ChatRef, dict[str, tuple[Reader, datetime]]] = {}
        self._couriers: dict[ChatRef, tuple[str, datetime]] = {}
        self._claims: set[tuple[str, MessageId, bool]] = set()

    async def newest(self, chat: ChatRef) -> int:
        """The position of the newest entry."""
        with self._lock:
            alive = self._alive(chat)
            return alive[-1].position if alive else BEGINNING

    async def append(
        self,
        chat: ChatRef,
        event: ChatEvent,
        *,
        at: datetime,
        behind: int = BEGINNING,  # noqa: ARG002 - there is nothing to gain by it here
    ) -> Entry:
        """Append an event."""
        event = values.events.load(*values.events.dump(event))
        with self._lock:
            alive = self._alive(chat)
            start = int(self._clock.now().timestamp() * 1000)
            entry = Entry(alive[-1].position + 1 if alive else start, at, event)
            self._entries.setdefault(chat, []).append(entry)
            return entry

    async def read(
        self, chat: ChatRef, *, after: int | None, limit: int
    ) -> tuple[tuple[Entry, ...], tuple[Reader, ...]]:
        """The first entries behind a position, and all readers."""
        with self._lock:
            entries = (
                []
                if after is None
                else [e for e in self._alive(chat) if e.position > after][:limit]
            )
            readers = self._readers.get(chat, {})
            return tuple(entries), tuple(
                reader
                for _, (reader, until) in sorted(readers.items())
                if until > self._clock.now()
            )

    async def has(self, chat: ChatRef, position: int) -> bool:
        """Whether an entry can be read."""
        with self._lock:
            return any(entry.position == position for entry in self._alive(chat))

    async def subscribe(self, connection: Connection) -> None:
        """Make a connection a reader."""
        reader = Reader(connection.id, connection.cursor)
        with self._lock:
            readers = self._readers.setdefault(connection.chat, {})
            readers[connection.id] = (reader, connection.opened_at + LIFETIME)

    async def advance(self, chat: ChatRef, connection: str, cursor: int) -> None:
        """Note how far a reader has been told."""
        with self._lock:
            readers = self._readers.get(chat, {})
            if connection in readers and readers[connection][0].cursor < cursor:
                reader, until = readers[connection]
                readers[connection] = (replace(reader, cursor=cursor), until)

    async def unsubscribe(self, chat: ChatRef, connection: str) -> None:
        """Remove a reader."""
        with self._lock:
            self._readers.get(chat, {}).pop(connection, None)

    async def lease(self, chat: ChatRef, courier: str, *, until: datetime) -> bool:
        """Become the courier or stay it."""
        with self._lock:
            holder, ends = self._couriers.get(chat, (courier, until))
            if holder != courier and ends > self._clock.now():
                return False
            self._couriers[chat] = (courier, until)
            return True

    async def release(self, chat: ChatRef, courier: str) -> None:
        """Stop being the courier."""
        with self._lock:
            if self._couriers.get(chat, ("", None))[0] == courier:
                del self._couriers[chat]

    async def claim(self, tenant: str, turn: MessageId, *, ends: bool = False) -> bool:
        """Become the one who answers."""
        with self._lock:
            if (tenant, turn, ends) in self._claims:
                return False
            self._claims.add((tenant, turn, ends))
            return True

    def _alive(self, chat: ChatRef) -> list[Entry]:
        eldest = self._clock.now() - LOG_LIFETIME
        return [entry for entry in self._entries.get(chat, ()) if entry.at > eldest]


class MemoryConnections:
    """The `Connections` in memory, safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = RLock()
        self._slots: dict[tuple[str, int], Slot] = {}
        self._connections: dict[str, Connection] = {}

    async def take_slot(
        self, tenant: str, connection: str, *, limit: int, at: datetime
    ) -> int | None:
        """Take a slot."""
        with self._lock:
            taken = {slot.number for slot in self._taken(tenant)}
            free = [number for number in range(min(limit, len(taken) + 1)) if number not in taken]
            if not free or len(taken) >= limit:
                return None
            self._slots[tenant, free[0]] = Slot(free[0], connection, at)
            return free[0]

    async def slots(self, tenant: str) -> tuple[Slot, ...]:
        """The slots that are taken."""
        with self._lock:
            return tuple(self._taken(tenant))

    async def free_slot(self, tenant: str, number: int, connection: str) -> None:
        """Free a slot."""
        with self._lock:
            slot = self._slots.get((tenant, number))
            if slot is not None and slot.connection == connection:
                del self._slots[tenant, number]

    async def register(self, connection: Connection) -> None:
        """Keep a connection."""
        with self._lock:
            self._connections[connection.id] = connection

    async def find(self, connection: str) -> Connection | None:
        """The connection of this id."""
        with self._lock:
            found = self._connections.get(connection)
        if found is None or found.opened_at + LIFETIME <= self._clock.now():
            return None
        return found

    async def unregister(self, connection: str) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.pop(connection, None)

    def _taken(self, tenant: str) -> list[Slot]:
        return [
            slot
            for (owner, _), slot in sorted(self._slots.items())
            if owner == tenant and slot.taken_at + LIFETIME > self._clock.now()
        ]


class MemorySockets:
    """The `Sockets` in memory.

    Attributes:
        open: what each open connection has been sent, in order; take one out to break it off.
        closed: the connections that were ended from here.
    """

    def __init__(self) -> None:
        self.open: dict[str, list[str]] = {}
        self.closed: list[str] = []

    async def post(self, connection: str, frame: str) -> None:
        """Send a text."""
        if connection not in self.open:
            raise ConnectionGone("The connection isn't open.")
        self.open[connection].append(frame)

    async def is_open(self, connection: str) -> bool:
        """Whether a client can be reached."""
        return connection in self.open

    async def close(self, connection: str) -> None:
        """End a connection."""
        if self.open.pop(connection, None) is not None:
            self.closed.append(connection)

    def sent(self, connection: str) -> list[dict[str, object]]:
        """What a connection has been sent, read as JSON."""
        return [json.loads(frame) for frame in self.open[connection]]


class MemoryWorkers:
    """The `Workers` that only note what is to be done.

    Attributes:
        jobs: what is to be done, in order.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def start(self, job: Job) -> None:
        """Note a job, as JSON would carry it."""
        self.jobs.append(values.jobs.load(*values.jobs.dump(job)))
