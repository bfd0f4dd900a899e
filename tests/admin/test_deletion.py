"""After a tenant is deleted nothing of it is left in any table, however that came about."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from local.demo_app import DEMO_APP
from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.erasure import DynamoErasure
from parley.adapters.system import RandomIds
from parley.domain.catalogue import Catalogue, CatalogueHead, Product
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Message, Role
from parley.domain.errors import Conflict, NotFound
from parley.domain.personas import PersonaContent
from parley.domain.sockets import ReplyText
from parley.domain.turns import PromptMessage
from parley.services.administration.tenants import SETTLED, Tenants
from parley.services.conversations import Conversations
from parley.services.personas import Personas
from tests.admin.conftest import Program
from tests.support.stores import Stores, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

LONG = "ሰላም " * 100_000


def left_of(client: "DynamoDBClient", tables: Tables, tenant: str) -> list[Mapping[str, Any]]:
    """Every item in any table in which the tenant is named at all."""
    found: list[Mapping[str, Any]] = []
    for table in (tables.directory, tables.conversations, tables.transient, tables.ledger):
        for page in client.get_paginator("scan").paginate(TableName=table):
            found += (item for item in page["Items"] if tenant in str(item))
    return found


async def fill(stores: Stores, client: "DynamoDBClient", tables: Tables) -> None:
    """Give a tenant something of every kind there is."""
    clock, tenant = stores.clock, stores.tenant
    for user in ("alice", "боб#1", "u" * 600):
        talk = await stores.begin(
            user=user, system_prompt=LONG, alias=f"old-{user}", metadata={"from": tenant}
        )
        await stores.take_turn(talk, LONG, LONG)
        await stores.conversations.see_user(tenant, user)
    await stores.append(await stores.begin(user="alice"), "a reply under way")

    completion = await stores.begin_completion()
    await stores.settle(finished(completion, LONG))
    await stores.completions.keep(
        StoredCompletion(
            id=completion.id,
            tenant=tenant,
            user="alice",
            created_at=clock.now(),
            model="a-model",
            messages=(PromptMessage(Role.USER, LONG),),
            replies=(finished(completion, LONG),),
        )
    )
    connection = stores.connection("1", user="alice")
    slot = await stores.connections.take_slot(tenant, connection.id, limit=5, at=clock.now())
    assert slot is not None
    await stores.connections.register(connection)
    await stores.events.append(stores.chat, ReplyText(completion.id, "Hello"), at=clock.now())
    await stores.events.subscribe(connection)
    await stores.events.lease(stores.chat, "courier", until=clock.now() + timedelta(minutes=1))
    for name in (tenant, f"{tenant}#messages#{connection.id}"):
        await stores.counter.admit(name, limit=5, window=3600)
    owner = await stores.directory.get_tenant(tenant)
    assert owner is not None
    personas = Personas(
        stores.personas, Conversations(stores.conversations, clock, RandomIds()), clock
    )
    persona = await personas.create(
        owner, alias="guide", content=PersonaContent(name="Guide", system_prompt="Hi.")
    )
    await personas.submit(owner, persona.id)
    await stores.directory.put_app(tenant, replace(DEMO_APP, model=None))
    await DynamoCatalogues(Database(client, clock), tables).replace(
        tenant,
        Catalogue(
            head=CatalogueHead(version=f"v-{tenant}", digest="d", embedder="e", size=1),
            products=(
                Product(
                    id=1,
                    name="Shoe",
                    description="A shoe.",
                    price=Decimal(1),
                    currency="EUR",
                    url="https://shop.example/1",
                    stock=1,
                ),
            ),
            vectors=b"\x01" * 8,
        ),
    )


@pytest.fixture
async def neighbour(program: Program, tenant: str) -> str:
    """A tenant whose name begins with the other's, and who has a key."""
    name = f"{tenant}-2"
    await program.away("tenants", "create", name)
    await program.away("keys", "create", name)
    return name


async def test_nothing_is_left_in_any_table(
    program: Program,
    neighbour: str,
    stores: Stores,
    dynamodb: "DynamoDBClient",
    tables: Tables,
) -> None:
    tenant = stores.tenant
    await fill(stores, dynamodb, tables)
    key = await program.away("keys", "create", tenant)
    assert len(left_of(dynamodb, tables, tenant)) > 40
    others = left_of(dynamodb, tables, neighbour)

    await suspended_long_ago(stores)
    told = await program.away("tenants", "delete", tenant, "--yes")
    assert told["removed"] > 40

    assert [item for item in left_of(dynamodb, tables, tenant) if neighbour not in str(item)] == []
    assert left_of(dynamodb, tables, neighbour) == others
    assert tenant not in [each["id"] for each in await program.away("tenants", "list")]
    assert await stores.directory.get_key(tenant, key["id"]) is None


async def suspended_long_ago(stores: Stores) -> None:
    """Suspend the tenant, as of so long ago that nobody writes for it any more."""
    await suspended_since(stores, stores.clock.now() - timedelta(hours=1))


async def suspended_since(stores: Stores, past: datetime) -> None:
    tenant = await stores.directory.get_tenant(stores.tenant)
    assert tenant is not None
    await stores.directory.put_tenant(replace(tenant, suspended_at=past))


class Interruption(Exception):
    """Whatever ends a program in the middle of its work."""


@contextmanager
def interrupted_after(client: "DynamoDBClient", writes: int) -> Iterator[None]:
    """Let only so many batches of removals happen."""
    left = [writes]

    def count(**_: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interruption

    event = "before-call.dynamodb.BatchWriteItem"
    client.meta.events.register(event, count)
    try:
        yield
    finally:
        client.meta.events.unregister(event, count)


@pytest.mark.parametrize("writes", [0, 1, 4, 9])
async def test_an_interrupted_deletion_is_ended_by_the_same_command(
    program: Program,
    stores: Stores,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    writes: int,
) -> None:
    tenant = stores.tenant
    await fill(stores, dynamodb, tables)
    await program.away("keys", "create", tenant)
    await suspended_long_ago(stores)
    tenants = operator(stores, dynamodb, tables)
    with interrupted_after(dynamodb, writes), pytest.raises(Interruption):
        await tenants.delete(tenant, pause=no_pause)
    assert left_of(dynamodb, tables, tenant)
    assert (await program.away("tenants", "show", tenant))["status"] == "deleting"
    await program.away("tenants", "delete", tenant, "--yes")
    assert left_of(dynamodb, tables, tenant) == []


async def test_while_it_is_being_removed_nothing_can_be_made_of_it(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    tenant = stores.tenant
    await program.away("keys", "create", tenant)
    await operator(stores, dynamodb, tables).begin_deletion(tenant)
    assert "being removed" in await program.refused_away("keys", "create", tenant)
    assert "being removed" in await program.refused_away("tenants", "resume", tenant)
    assert "already" in await program.refused_away("tenants", "create", tenant)


async def test_what_is_written_by_those_who_were_admitted_before_goes_too(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    """Somebody is admitted by an instance that has just seen the key; the turn runs for minutes."""
    tenants = operator(stores, dynamodb, tables)
    waited: list[float] = []
    running: list[Message] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        stores.clock.advance(seconds)
        if running:  # its conversation is gone, so it has been stopped
            await stores.settle(finished(running.pop(), "Hi!"))
        else:
            await stores.take_turn(await stores.begin(user="late"))
            running.append((await stores.append(await stores.begin(user="late")))[1])

    await tenants.delete(stores.tenant, pause=pause)
    assert sum(waited) == SETTLED.total_seconds()
    assert not running
    assert left_of(dynamodb, tables, stores.tenant) == []


async def test_a_turn_that_outlasts_the_suspension_leaves_nothing(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    _, running = await stores.append(await stores.begin())
    await suspended_since(stores, stores.clock.now() - SETTLED)
    tenants = operator(stores, dynamodb, tables)
    ended: list[bool] = []

    async def pause(seconds: float) -> None:
        stores.clock.advance(seconds)
        ended.append(await stores.settle(finished(running, "Hi!")))

    await tenants.delete(stores.tenant, pause=pause)
    assert ended == [False]
    assert left_of(dynamodb, tables, stores.tenant) == []


async def test_a_deletion_that_another_has_ended_leaves_a_new_tenant_of_that_name_alone(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    tenants = operator(stores, dynamodb, tables)

    async def pass_time(seconds: float) -> None:
        stores.clock.advance(seconds)

    async def pause(seconds: float) -> None:
        await pass_time(seconds)
        await tenants.delete(stores.tenant, pause=pass_time)
        await tenants.create(stores.tenant)

    with pytest.raises(NotFound):
        await tenants.delete(stores.tenant, pause=pause)
    assert (await tenants.get(stores.tenant)).deleted_at is None


async def test_a_name_can_be_used_again(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    await suspended_long_ago(stores)
    tenants = operator(stores, dynamodb, tables)
    await tenants.delete(stores.tenant, pause=no_pause)
    with pytest.raises(NotFound):
        await tenants.delete(stores.tenant, pause=no_pause)
    assert (await tenants.create(stores.tenant)).suspended_at is None
    with pytest.raises(NotFound, match="isn't being removed"):
        await tenants.end_deletion(stores.tenant, pause=no_pause)


async def test_of_two_changes_at_once_none_is_lost(stores: Stores) -> None:
    before = await stores.directory.get_tenant(stores.tenant)
    assert before is not None
    changed = replace(before, revision=before.revision + 1)
    await stores.directory.change_tenant(changed)
    with pytest.raises(Conflict):
        await stores.directory.change_tenant(changed)


def operator(stores: Stores, client: "DynamoDBClient", tables: Tables) -> Tenants:
    """The use cases by the test's own clock."""
    erasure = DynamoErasure(Database(client, stores.clock), tables)
    return Tenants(stores.directory, erasure, stores.clock)


async def no_pause(seconds: float) -> None:
    raise AssertionError(seconds)
