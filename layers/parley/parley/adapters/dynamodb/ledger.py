"""The usage ledger on DynamoDB, read and, where somebody is to be forgotten, changed.

Its lines are written with the turns that they are of, by the stores of those.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import date

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, update
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.turns import FORGOTTEN, UsageRecord

SIDE_BY_SIDE = 8
"""Lines that are changed at once."""

PAGE = 2_000
"""Lines read in one go, of some 300 bytes each."""


class DynamoLedger:
    """The `Ledger` on DynamoDB: a day is ten queries."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.ledger

    async def lines(self, tenant: str, day: date) -> AsyncIterator[Sequence[UsageRecord]]:
        """All lines of a day, shard after shard."""
        async for page in self._pages(tenant, day):
            yield [items.to_record(tenant, keys.ledger_turn(line["sk"]), line) for line in page]

    async def forget_user(self, tenant: str, user: str, day: date) -> int:
        """Read the day; change the lines that are the user's."""
        forgotten = 0
        async for page in self._pages(tenant, day):
            found = [keys.of(line) for line in page if line["user"] == user]
            await asyncio.gather(
                *(self._forget(user, found[start::SIDE_BY_SIDE]) for start in range(SIDE_BY_SIDE))
            )
            forgotten += len(found)
        return forgotten

    async def _pages(self, tenant: str, day: date) -> AsyncIterator[list[Item]]:
        for shard in keys.ledger_lines(tenant, day):
            last: Key | None = None
            while True:
                page = await self._page(shard, last)
                if page:
                    yield page
                if len(page) < PAGE:
                    break
                last = keys.of(page[-1])

    @in_thread
    def _page(self, shard: Range, after: Key | None) -> list[Item]:
        return self._database.query(self._table, shard, limit=PAGE, after=after)

    @in_thread
    def _forget(self, user: str, found: Sequence[Key]) -> None:
        for line in found:
            forget = update(
                self._table,
                line,
                "SET #user = :nobody",
                {"nobody": FORGOTTEN, "user": user},
                condition="#user = :user",
            )
            with suppress(ConditionFailed):  # another call has just done it
                self._database.write(forget)
