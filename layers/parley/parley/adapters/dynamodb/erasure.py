"""What belongs to somebody, removed from every table.

What a tenant has is found by scanning the tables: no list of its partitions could be shown to be
complete, and keeping one would make every new conversation dearer for the sake of a command that is
given once in years. docs/decisions/0008-erasing-a-tenant.md has the figures.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import Database, Place, Tables
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.ids import ConversationId

SEGMENTS = 8
"""Parts of a table that are scanned side by side."""


class DynamoErasure:
    """The `Erasure` on DynamoDB."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables

    async def erase_tenant(self, tenant: str, *, progress: Callable[[int], None]) -> None:
        """Scan the tables one after the other, the directory first, and remove what is found."""
        partition, windows = keys.belonging_to(tenant)
        condition = (
            "begins_with(#pk, :partition) OR begins_with(#pk, :windows) OR #tenant = :tenant"
            " OR (#pk = :own AND NOT #sk = :record)"
        )
        record = keys.tenant(tenant)
        values = {
            "partition": partition,
            "windows": windows,
            "tenant": tenant,
            "own": record.pk,
            "record": record.sk,
        }
        tables = self._tables
        for table in (tables.directory, tables.conversations, tables.transient, tables.ledger):
            await self._sweep(table, condition, values, progress)

    async def erase_passing(
        self,
        tenant: str,
        user: str,
        *,
        conversations: Collection[ConversationId],
    ) -> None:
        """Scan the transient table, which holds a day, and remove the partitions that are found.

        What belongs to a conversation is found by its number instead.
        """
        begins, _ = keys.belonging_to(tenant)
        condition = (
            "(#user = :user OR #asker = :user) AND (begins_with(#pk, :begins) OR #tenant = :tenant)"
        )
        values = {"user": user, "begins": begins, "tenant": tenant}
        async for found in self._found(self._tables.transient, condition, values):
            for partition in {key.pk for key in found}:
                await self._remove_partition(keys.whole(partition))
        for conversation in conversations:
            await self._remove_partition(keys.log(tenant, conversation))
            await self._remove_partition(keys.everything(tenant, conversation))

    async def _sweep(
        self,
        table: str,
        condition: str,
        values: Mapping[str, str],
        progress: Callable[[int], None],
    ) -> None:
        async def sweep(segment: int) -> None:
            place: Place | None = Place(segment, SEGMENTS)
            while place is not None:
                found, place = await self._scan(table, condition, values, place)
                await self._remove(table, found)
                progress(len(found))

        await asyncio.gather(*(sweep(segment) for segment in range(SEGMENTS)))

    async def _found(
        self, table: str, condition: str, values: Mapping[str, str]
    ) -> AsyncIterator[list[Key]]:
        place: Place | None = Place(0, 1)
        while place is not None:
            found, place = await self._scan(table, condition, values, place)
            yield found

    @in_thread
    def _scan(
        self, table: str, condition: str, values: Mapping[str, str], place: Place
    ) -> tuple[list[Key], Place | None]:
        return self._database.scan(table, condition, values, place)

    @in_thread
    def _remove(self, table: str, doomed: Collection[Key]) -> None:
        self._database.delete_many(table, doomed)

    @in_thread
    def _remove_partition(self, within: Range) -> None:
        table = self._tables.transient
        for some in self._database.keys(table, within):
            self._database.delete_many(table, some)
