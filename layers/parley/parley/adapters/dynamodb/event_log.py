"""Chats' event logs on DynamoDB."""

import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from parley.adapters import values
from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, delete, put, update
from parley.adapters.dynamodb.items import Item
from parley.domain.errors import StoreUnavailable
from parley.domain.ids import MessageId
from parley.domain.sockets import (
    BEGINNING,
    LIFETIME,
    LOG_LIFETIME,
    ChatEvent,
    ChatRef,
    Connection,
    Entry,
    Reader,
)
from parley.ports import Clock

MOST_TRIES = 500
"""Of one append. Each that fails means that another has succeeded, so few are ever made."""

TRIES_WITHOUT_LOOK = 5
"""Tries at neighbouring positions before the newest is looked up."""

LONGEST_PAUSE_SECONDS = 0.01
"""Between two tries: enough that those who met don't meet again."""

_chance = random.SystemRandom()


class DynamoEventLog:
    """The `EventLog` on DynamoDB: a chat's entries and its readers are neighbours in one partition.

    An entry's position is its key, so of all who append behind the same entry one succeeds, and
    the others take the next position. A log without an entry that is still alive begins at the
    current time in milliseconds, which lies beyond all positions that it ever had as long as less
    than one event happens a millisecond. That beginning is written down before it is used, so that
    two who begin at once agree on it.
    """

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._table = tables.transient
        self._clock = clock

    @in_thread
    def newest(self, chat: ChatRef) -> int:
        """The position of the newest entry: one query."""
        return self._newest(chat)

    @in_thread
    def append(
        self, chat: ChatRef, event: ChatEvent, *, at: datetime, behind: int = BEGINNING
    ) -> Entry:
        """Append an event: one write; a query before it where nothing is known of the log."""
        kind, value = values.events.dump(event)
        item: Item = {
            "kind": kind,
            "value": value,
            "at": keys.timestamp(at),
            "by": secrets.token_hex(8),
            "expires_at": self._in(LOG_LIFETIME.total_seconds()),
        }
        last = behind or self._last(chat)
        for tries in range(1, MOST_TRIES):
            key = keys.entry(chat.tenant, chat.conversation, last + 1)
            entry = put(self._table, key, item, condition="attribute_not_exists(#pk)")
            try:
                self._database.write(entry)
            except ConditionFailed as refusal:
                # botocore repeats a write whose answer was lost, and then meets its own item.
                if (refusal.found[0] or {}).get("by") != item["by"]:
                    # Another's entry is there, so the next position is the likeliest to be free.
                    last = last + 1 if tries % TRIES_WITHOUT_LOOK else self._last(chat)
                    time.sleep(_chance.uniform(0, LONGEST_PAUSE_SECONDS))
                    continue
            return Entry(last + 1, at, event)
        raise StoreUnavailable("Too much happens in this chat right now. Please try again.")

    @in_thread
    def read(
        self, chat: ChatRef, *, after: int | None, limit: int
    ) -> tuple[tuple[Entry, ...], tuple[Reader, ...]]:
        """Read entries and readers: one query; two where there are `limit` entries or more."""
        within = keys.readers(chat.tenant, chat.conversation)
        if after is None:
            return (), self._readers(self._database.query(self._table, within))
        while True:
            both = keys.entries_and_readers(chat.tenant, chat.conversation, after)
            found = self._database.query(self._table, both, limit=limit)
            entries = [item for item in found if keys.position(item["sk"]) is not None]
            alive = tuple(_entry(item) for item in entries if self._is_alive(item))
            if len(found) < limit:
                return alive, self._readers(found[len(entries) :])
            if alive or not entries:
                return alive, self._readers(self._database.query(self._table, within))
            after = _position(entries[-1])  # all of these have expired: the living come behind

    @in_thread
    def has(self, chat: ChatRef, position: int) -> bool:
        """Whether an entry can be read: one read."""
        item = self._database.get(self._table, keys.entry(chat.tenant, chat.conversation, position))
        return item is not None and self._is_alive(item)

    @in_thread
    def subscribe(self, connection: Connection) -> None:
        """Make a connection a reader: one write."""
        key = keys.reader(connection.tenant, connection.conversation, connection.id)
        item: Item = {
            "connection": connection.id,
            "cursor": connection.cursor,
            "expires_at": int((connection.opened_at + LIFETIME).timestamp()),
        }
        self._database.write(put(self._table, key, item))

    @in_thread
    def advance(self, chat: ChatRef, connection: str, cursor: int) -> None:
        """Note how far a reader has been told: one write."""
        moved = update(
            self._table,
            keys.reader(chat.tenant, chat.conversation, connection),
            "SET #cursor = :cursor",
            {"cursor": cursor},
            condition="#cursor < :cursor",
        )
        with suppress(ConditionFailed):
            self._database.write(moved)

    @in_thread
    def unsubscribe(self, chat: ChatRef, connection: str) -> None:
        """Remove a reader: one write."""
        key = keys.reader(chat.tenant, chat.conversation, connection)
        self._database.write(delete(self._table, key))

    @in_thread
    def lease(self, chat: ChatRef, courier: str, *, until: datetime) -> bool:
        """Become the courier or stay it: one write."""
        lease = update(
            self._table,
            keys.courier(chat.tenant, chat.conversation),
            "SET #courier = :courier, #until = :until, #expires_at = :expires_at",
            {
                "courier": courier,
                "until": _milliseconds(until),
                "now": _milliseconds(self._clock.now()),
                "expires_at": self._in(LOG_LIFETIME.total_seconds()),
            },
            condition="attribute_not_exists(#pk) OR #until <= :now OR #courier = :courier",
        )
        try:
            self._database.write(lease)
        except ConditionFailed:
            return False
        return True

    @in_thread
    def release(self, chat: ChatRef, courier: str) -> None:
        """Stop being the courier: one write."""
        released = update(
            self._table,
            keys.courier(chat.tenant, chat.conversation),
            "SET #until = :released",
            {"courier": courier, "released": 0},  # over by everybody's clock
            condition="#courier = :courier",
        )
        with suppress(ConditionFailed):
            self._database.write(released)

    @in_thread
    def claim(self, tenant: str, turn: MessageId, *, ends: bool = False) -> bool:
        """Become the one who answers, or tells of the end: one write."""
        by = secrets.token_hex(8)
        item: Item = {"by": by, "expires_at": self._in(LOG_LIFETIME.total_seconds())}
        claim = put(
            self._table,
            keys.claim(tenant, turn, ends=ends),
            item,
            condition="attribute_not_exists(#pk)",
        )
        try:
            self._database.write(claim)
        except ConditionFailed as refusal:
            return (refusal.found[0] or {}).get("by") == by
        return True

    def _newest(self, chat: ChatRef) -> int:
        within = keys.entries(chat.tenant, chat.conversation, BEGINNING)
        found = self._database.query(self._table, within, limit=1, newest_first=True)
        if not found or not self._is_alive(found[0]):
            return BEGINNING
        return _position(found[0])

    def _last(self, chat: ChatRef) -> int:
        """The position to append behind."""
        return self._newest(chat) or self._begin(chat) - 1

    def _begin(self, chat: ChatRef) -> int:
        """Where a log without entries begins; everyone who asks at that time is told the same."""
        start = _milliseconds(self._clock.now())
        begin = put(
            self._table,
            keys.log_beginning(chat.tenant, chat.conversation),
            {"start": start, "expires_at": self._in(LOG_LIFETIME.total_seconds())},
            condition="attribute_not_exists(#pk) OR #expires_at <= :now",
            values={"now": self._in(0)},
        )
        try:
            self._database.write(begin)
        except ConditionFailed as refusal:
            start = (refusal.found[0] or {"start": start})["start"]
        return start

    def _readers(self, found: Sequence[Item]) -> tuple[Reader, ...]:
        return tuple(
            Reader(item["connection"], item["cursor"]) for item in found if self._is_alive(item)
        )

    def _is_alive(self, item: Item) -> bool:
        expires_at: int = item["expires_at"]
        return expires_at > self._clock.now().timestamp()

    def _in(self, seconds: float) -> int:
        return int(self._clock.now().timestamp() + seconds)


def _entry(item: Item) -> Entry:
    return Entry(
        _position(item),
        datetime.fromisoformat(item["at"]),
        values.events.load(item["kind"], item["value"]),
    )


def _position(entry: Item) -> int:
    return keys.position(entry["sk"]) or BEGINNING


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
