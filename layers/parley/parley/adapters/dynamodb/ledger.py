"""The usage ledger on DynamoDB, read and, where somebody is to be forgotten, changed.

Its lines are written with the turns that they are of, by the stores of those. Beside them, the sums
of days that are over are kept: docs/decisions/0010-usage-by-day.md says why by whoever asks first.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import date

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys, texts
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Database,
    Tables,
    assignments,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.turns import FORGOTTEN, UsageRecord
from parley.domain.usage import Labels, Rollup, Sums

SIDE_BY_SIDE = 8
"""Lines that are changed at once."""

PAGE = 2_000
"""Lines read in one go, of some 300 bytes each."""


class DynamoLedger:
    """The `Ledger` on DynamoDB: a day is ten queries at once."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.ledger

    async def lines(self, tenant: str, day: date) -> AsyncIterator[Sequence[UsageRecord]]:
        """All lines of a day, whatever their order."""
        async for page in self._pages(tenant, day):
            yield [items.to_record(tenant, keys.ledger_turn(line["sk"]), line) for line in page]

    async def forget_user(self, tenant: str, user: str, day: date) -> int:
        """Read the day; change the lines that are the user's, then drop sums that name the user.

        Sums may name the user where no line does any more: a call before was interrupted.
        """
        forgotten = 0
        async for page in self._pages(tenant, day):
            found = [keys.of(line) for line in page if line["user"] == user]
            await asyncio.gather(
                *(self._forget(user, found[start::SIDE_BY_SIDE]) for start in range(SIDE_BY_SIDE))
            )
            forgotten += len(found)
        kept = (await self._rollups(tenant, day, day)).get(day, Rollup())
        if forgotten or any(labels.user == user for labels in kept.sums or ()):
            await self._drop(tenant, day)
        return forgotten

    async def rollups(self, tenant: str, first: date, last: date) -> Mapping[date, Rollup]:
        """What is kept of a tenant's days: one query, and a batch where any is long."""
        return await self._rollups(tenant, first, last)

    async def keep(
        self, tenant: str, day: date, sums: Mapping[Labels, Sums], *, version: int
    ) -> None:
        """Keep the sums of a day: one write, and before it a batch where they are long."""
        await self._keep(tenant, day, sums, version)

    @in_thread
    def _rollups(self, tenant: str, first: date, last: date) -> Mapping[date, Rollup]:
        found = self._database.query(self._table, keys.rollups(tenant, first, last))
        kept = texts.read(self._database, self._table, (item for item in found if "text" in item))
        rollups: dict[date, Rollup] = {}
        for item in found:
            text = kept.get(keys.of(item))
            sums = items.to_sums(text) if text is not None else None
            rollups[date.fromisoformat(item["sk"])] = Rollup(item.get("version", 0), sums)
        return rollups

    @in_thread
    def _keep(self, tenant: str, day: date, sums: Mapping[Labels, Sums], version: int) -> None:
        key = keys.rollup(tenant, day)
        text, parts = texts.store(key, items.from_sums(sums))
        self._database.put_many(self._table, parts)
        changes, values = assignments({**text, "version": version})
        unchanged = "attribute_not_exists(#pk) OR #version = :version"
        try:
            self._database.write(update(self._table, key, changes, values, condition=unchanged))
        except ConditionFailed:
            # Others may have kept just these parts: then their sums are added up once more.
            self._database.delete_many(self._table, (part for part, _ in parts))

    @in_thread
    def _drop(self, tenant: str, day: date) -> None:
        """Have the day added up anew, also by whoever has read its lines before they changed."""
        anew = "ADD #version :one REMOVE #text, #body, #parts"
        self._database.write(update(self._table, keys.rollup(tenant, day), anew, {"one": 1}))
        orphans = self._database.keys(self._table, keys.rollup_parts(tenant, day))
        for some in orphans:
            self._database.delete_many(self._table, some)

    async def _pages(self, tenant: str, day: date) -> AsyncIterator[list[Item]]:
        """The lines of a day: of all its shards side by side, a page of each at a time."""
        left: list[tuple[Range, Key | None]] = [
            (shard, None) for shard in keys.ledger_lines(tenant, day)
        ]
        while left:
            pages = await asyncio.gather(*(self._page(shard, last) for shard, last in left))
            for page in filter(None, pages):
                yield page
            left = [
                (shard, keys.of(page[-1]))
                for (shard, _), page in zip(left, pages, strict=True)
                if len(page) == PAGE
            ]

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
