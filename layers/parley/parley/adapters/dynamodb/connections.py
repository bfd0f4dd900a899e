"""Open connections and a tenant's slots for them on DynamoDB."""

import random
from contextlib import suppress
from datetime import datetime

from parley.adapters import values
from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, delete, put, update
from parley.adapters.dynamodb.items import Item
from parley.domain.sockets import LIFETIME, Connection, Slot
from parley.ports import Clock

CHOICE = 100
"""Free slots to choose from, where there are so many; a limit may be as good as none."""

_chance = random.SystemRandom()


class DynamoConnections:
    """The `Connections` on DynamoDB.

    A tenant's slots are items with the numbers from 0 to the limit, and one is taken by a write on
    the condition that it is free. So no two ever have the same, and there are no others.
    """

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._table = tables.transient
        self._clock = clock

    @in_thread
    def take_slot(self, tenant: str, connection: str, *, limit: int, at: datetime) -> int | None:
        """Take a slot: one query and one write, and one write more for each slot just taken."""
        while len(taken := self._taken(tenant)) < limit:
            looked_at = range(min(limit, len(taken) + CHOICE))
            free = sorted(set(looked_at) - {slot.number for slot in taken})
            _chance.shuffle(free)  # so that those who come at once don't all try the same
            for number in free:
                if self._take(tenant, number, connection, at):
                    return number
        return None

    @in_thread
    def slots(self, tenant: str) -> tuple[Slot, ...]:
        """The slots that are taken: one query."""
        return tuple(self._taken(tenant))

    @in_thread
    def free_slot(self, tenant: str, number: int, connection: str) -> None:
        """Free a slot: one write."""
        freed = update(
            self._table,
            keys.slot(tenant, number),
            "SET #expires_at = :now",
            {"now": self._now(), "connection": connection},
            condition="#connection = :connection",
        )
        with suppress(ConditionFailed):
            self._database.write(freed)

    @in_thread
    def register(self, connection: Connection) -> None:
        """Keep a connection: one write."""
        item: Item = {
            "value": values.connections.dump_json(connection).decode(),
            "tenant": connection.tenant,  # as its key can't say whose it is
            "user": connection.user,
            "expires_at": _expiry(connection.opened_at),
        }
        self._database.write(put(self._table, keys.connection(connection.id), item))

    @in_thread
    def find(self, connection: str) -> Connection | None:
        """The connection of this id: one read."""
        item = self._database.get(self._table, keys.connection(connection))
        if item is None or item["expires_at"] <= self._now():
            return None
        return values.connections.validate_json(item["value"])

    @in_thread
    def unregister(self, connection: str) -> None:
        """Forget a connection: one write."""
        self._database.write(delete(self._table, keys.connection(connection)))

    def _taken(self, tenant: str) -> list[Slot]:
        return [
            Slot(int(item["sk"]), item["connection"], datetime.fromisoformat(item["taken_at"]))
            for item in self._database.query(self._table, keys.slots(tenant))
            if item["expires_at"] > self._now()
        ]

    def _take(self, tenant: str, number: int, connection: str, at: datetime) -> bool:
        take = update(
            self._table,
            keys.slot(tenant, number),
            "SET #connection = :connection, #taken_at = :at, #expires_at = :expires_at",
            {
                "connection": connection,
                "at": keys.timestamp(at),
                "expires_at": _expiry(at),
                "now": self._now(),
            },
            # Also one's own: botocore repeats a write whose answer was lost.
            condition=(
                "attribute_not_exists(#pk) OR #expires_at <= :now OR #connection = :connection"
            ),
        )
        try:
            self._database.write(take)
        except ConditionFailed:
            return False
        return True

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _expiry(since: datetime) -> int:
    return int((since + LIFETIME).timestamp())
