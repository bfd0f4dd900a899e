"""What a `CatalogueStore` promises."""

import asyncio
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.catalogues import PART_BYTES, DynamoCatalogues
from parley.adapters.dynamodb.client import Database, Tables, Write
from parley.adapters.dynamodb.items import Item
from parley.adapters.memory_catalogues import MemoryCatalogues
from parley.adapters.system import SystemClock
from parley.domain.catalogue import Catalogue, CatalogueHead, Product
from parley.domain.errors import Conflict, StoreUnavailable
from parley.ports import CatalogueStore
from tests.support.aws import make_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

PATIENCE = 90
"""Seconds; a busy test machine may need more than a service would."""

noise = random.Random(7)  # noqa: S311 - any bytes do, as long as they can't be compressed


@pytest.fixture(params=["memory", "moto", "ministack"])
def store(request: pytest.FixtureRequest) -> Iterator[CatalogueStore]:
    match request.param:
        case "memory":
            yield MemoryCatalogues()
        case "moto":
            client = request.getfixturevalue("moto_client")
            with mock_aws():
                yield on_dynamodb(client, make_tables(client))
        case _:
            yield request.getfixturevalue("ministack")


@pytest.fixture
def ministack(dynamodb: "DynamoDBClient", tables: Tables) -> DynamoCatalogues:
    return on_dynamodb(dynamodb, tables)


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4()}"


def on_dynamodb(client: "DynamoDBClient", tables: Tables) -> DynamoCatalogues:
    return DynamoCatalogues(Database(client, SystemClock(), patience=PATIENCE), tables)


def a_catalogue(version: str, size: int = 3, dimensions: int = 4) -> Catalogue:
    """A catalogue all of whose products are named after its version."""
    products = tuple(
        Product(
            id=number,
            name=version,
            description="Warm — и недорого, ሞቃት 👋",
            price=Decimal("119.90"),
            currency="EUR",
            url=f"https://shop.example/{number}",
            attributes={"category": "coats", "size": "M"},
            stock=number,
        )
        for number in range(size)
    )
    vectors = noise.randbytes(size * dimensions)
    head = CatalogueHead(
        version=version, digest=f"digest-{version}", embedder="hashing-1", size=size
    )
    return Catalogue(head=head, products=products, vectors=vectors)


def parts(client: "DynamoDBClient", tables: Tables, tenant: str) -> set[str]:
    """The partitions in which parts of a tenant's catalogues lie."""
    prefix = keys.catalogue_parts(tenant, "").pk
    pages = client.get_paginator("scan").paginate(TableName=tables.directory)
    found = {item["pk"]["S"] for page in pages for item in page["Items"]}
    return {partition.removeprefix(prefix) for partition in found if partition.startswith(prefix)}


async def test_a_tenant_has_no_catalogue_at_first(store: CatalogueStore, tenant: str) -> None:
    assert await store.head(tenant) is None
    assert await store.load(tenant) is None


async def test_a_catalogue_is_read_as_it_was_put(store: CatalogueStore, tenant: str) -> None:
    catalogue = a_catalogue("one")
    await store.replace(tenant, catalogue)
    assert await store.head(tenant) == catalogue.head
    loaded = await store.load(tenant)
    assert loaded == catalogue
    assert str(loaded.products[0].price) == "119.90"


async def test_a_catalogue_is_replaced_whole(store: CatalogueStore, tenant: str) -> None:
    await store.replace(tenant, a_catalogue("one", size=9))
    smaller = a_catalogue("two", size=2)
    await store.replace(tenant, smaller)
    assert await store.load(tenant) == smaller


async def test_an_empty_catalogue_is_one(store: CatalogueStore, tenant: str) -> None:
    empty = a_catalogue("none", size=0)
    await store.replace(tenant, empty)
    assert await store.load(tenant) == empty


async def test_tenants_have_catalogues_of_their_own(store: CatalogueStore, tenant: str) -> None:
    await store.replace(tenant, a_catalogue("one"))
    assert await store.load(f"{tenant}-other") is None
    await store.replace(f"{tenant}-other", a_catalogue("two"))
    loaded = await store.load(tenant)
    assert loaded is not None
    assert loaded.head.version == "one"


async def test_a_catalogue_larger_than_an_item_is_kept_whole(
    store: CatalogueStore, tenant: str
) -> None:
    large = a_catalogue("large", size=2500, dimensions=384)
    assert len(large.vectors) > 2 * PART_BYTES
    await store.replace(tenant, large)
    assert await store.load(tenant) == large


async def test_nothing_of_an_old_version_is_left(
    ministack: DynamoCatalogues, dynamodb: "DynamoDBClient", tables: Tables, tenant: str
) -> None:
    for version in ("one", "two", "three"):
        await ministack.replace(tenant, a_catalogue(version))
    assert parts(dynamodb, tables, tenant) == {"three"}


async def test_readers_meanwhile_see_the_old_catalogue_or_the_new_one(
    ministack: DynamoCatalogues, tenant: str
) -> None:
    versions = [str(number) for number in range(6)]
    catalogues = [a_catalogue(version, size=1200, dimensions=384) for version in versions]
    await ministack.replace(tenant, catalogues[0])
    seen: list[str] = []

    async def read() -> None:
        while seen[-1:] != versions[-1:]:
            loaded = await ministack.load(tenant)
            assert loaded is not None
            assert loaded == catalogues[int(loaded.head.version)]
            seen.append(loaded.head.version)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(read())
        for catalogue in catalogues[1:]:
            await ministack.replace(tenant, catalogue)
    assert len(set(seen)) > 1


async def test_of_replacements_at_once_one_wins_and_leaves_nothing_else(
    ministack: DynamoCatalogues, dynamodb: "DynamoDBClient", tables: Tables, tenant: str
) -> None:
    await ministack.replace(tenant, a_catalogue("first"))
    catalogues = [a_catalogue(f"rival-{number}", size=800, dimensions=384) for number in range(4)]
    ended = await asyncio.gather(
        *(ministack.replace(tenant, catalogue) for catalogue in catalogues),
        return_exceptions=True,
    )
    assert all(result is None or isinstance(result, Conflict) for result in ended), ended
    assert None in ended
    loaded = await ministack.load(tenant)
    assert loaded in catalogues
    assert loaded is not None
    assert parts(dynamodb, tables, tenant) == {loaded.head.version}


async def test_what_an_interrupted_replacement_left_is_never_read_and_then_removed(
    dynamodb: "DynamoDBClient", tables: Tables, tenant: str
) -> None:
    class Broken(Database):
        def put_many(self, *arguments: Any) -> None:
            super().put_many(*arguments)
            raise StoreUnavailable("The machine was switched off.")

    whole = on_dynamodb(dynamodb, tables)
    old = a_catalogue("old")
    await whole.replace(tenant, old)
    broken = DynamoCatalogues(Broken(dynamodb, SystemClock(), patience=PATIENCE), tables)
    with pytest.raises(StoreUnavailable):
        await broken.replace(tenant, a_catalogue("interrupted"))
    assert await whole.load(tenant) == old
    assert parts(dynamodb, tables, tenant) == {"old", "interrupted"}
    new = replace(old, head=replace(old.head, version="new"))
    await whole.replace(tenant, new)
    assert await whole.load(tenant) == new
    assert parts(dynamodb, tables, tenant) == {"new"}


async def test_a_write_whose_answer_was_lost_and_that_is_repeated_loses_nothing(
    dynamodb: "DynamoDBClient", tables: Tables, tenant: str
) -> None:
    class Repeating(Database):
        def write(self, write: Write) -> Item:
            super().write(write)
            return super().write(write)

    store = DynamoCatalogues(Repeating(dynamodb, SystemClock(), patience=PATIENCE), tables)
    for version in ("old", "new"):
        await store.replace(tenant, a_catalogue(version))
        assert await store.head(tenant) == a_catalogue(version).head
        assert parts(dynamodb, tables, tenant) == {version}
