"""What the ledger promises, and reports that read it: every turn is in them once."""

import math
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.erasure import DynamoErasure
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.adapters.system import SystemClock
from parley.domain.conversations import Status, Usage
from parley.domain.errors import StoreUnavailable
from parley.domain.tenants import Tenant
from parley.domain.turns import FORGOTTEN, UsageRecord
from parley.domain.usage import Labels, Rollup, Sums, add_up
from parley.services.administration.reports import DAYS_AT_ONCE, Report, Reports, row_values
from parley.services.administration.tenants import Tenants
from tests.store.test_concurrency import at_once
from tests.support.capacity import metered
from tests.support.clock import NOON
from tests.support.stores import Stores, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

TODAY = NOON.date()
YESTERDAY = TODAY - timedelta(days=1)
LONG_AGO = NOON - timedelta(days=1000)
ALICE = Labels("alice", "key-1", "openai", "small", "a-route")


class World:
    """A tenant's ledger and its reports."""

    def __init__(self, stores: Stores, client: "DynamoDBClient", tables: Tables) -> None:
        database = Database(client, SystemClock())
        self.stores = stores
        self.client = client
        self.ledger = DynamoLedger(database, tables)
        tenants = Tenants(stores.directory, DynamoErasure(database, tables), stores.clock)
        self.reports = Reports(tenants, self.ledger, stores.clock)

    async def spend(self, **how: Any) -> UsageRecord:
        """A settled turn."""
        reply = finished(await self.stores.begin_completion(), "Hi!")
        record = replace(self.stores.record(reply), route="a-route", **how)
        assert await self.stores.conversations.settle(reply, record)
        return record

    async def report(self, *groups: str, first: date = YESTERDAY, last: date = TODAY) -> Report:
        return await self.reports.usage(self.stores.tenant, first=first, last=last, groups=groups)

    async def kept(self, day: date = YESTERDAY) -> Rollup | None:
        return (await self.ledger.rollups(self.stores.tenant, day, day)).get(day)


@pytest.fixture
async def world(ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables) -> World:
    tenant = Tenant(id=ministack_stores.tenant, created_at=LONG_AGO)
    await ministack_stores.directory.create_tenant(tenant)
    return World(ministack_stores, dynamodb, tables)


async def test_a_line_is_read_as_it_was_written(world: World) -> None:
    record = await world.spend(
        user="alice",
        usage=Usage(10, 5, 4, 2),
        cost=Decimal("0.000000000000001"),
        estimated=True,
        first_token_ms=0,
        duration_ms=1234,
    )
    [page] = [page async for page in world.ledger.lines(world.stores.tenant, TODAY)]
    assert page == [record]


async def test_a_report_equals_its_lines_to_the_token_and_the_smallest_part_of_a_cent(
    world: World,
) -> None:
    chance = random.Random(7)  # noqa: S311 - guards nothing
    spent: dict[Labels, Sums] = {}
    for _ in range(40):
        tokens = [chance.randint(0, 5000) for _ in range(4)]
        record = await world.spend(
            user=chance.choice(["alice", "bob", FORGOTTEN]),
            model=chance.choice(["small", "large"]),
            status=chance.choice([Status.COMPLETED, Status.STOPPED]),
            usage=chance.choice([Usage(*tokens), None]),
            cost=chance.choice([Decimal(chance.randint(1, 10**15)) / 10**15, None]),
            estimated=chance.choice([True, False]),
            at=NOON - timedelta(days=chance.randint(0, 1)),
        )
        add_up([record], spent)
    whole = Sums()
    for sums in spent.values():
        whole.add(sums)
    for _ in range(2):  # the second one finds yesterday added up
        report = await world.report("user", "model", "day")
        assert report.total.sums == whole
        by_user = await world.report("user")
        for row in by_user.rows:
            mine = Sums()
            for labels, sums in spent.items():
                if labels.user == row.labels[0]:
                    mine.add(sums)
            assert row.sums == mine
    assert await world.kept() is not None


async def test_a_day_is_added_up_once_it_is_over_and_no_earlier(world: World) -> None:
    await world.spend(at=NOON - timedelta(days=1), cost=Decimal(1))
    await world.report()
    kept = await world.kept()
    assert kept is not None
    assert kept.sums is not None
    assert [sums.turns for sums in kept.sums.values()] == [1]
    assert await world.kept(TODAY) is None
    midnight = datetime.combine(TODAY + timedelta(days=1), datetime.min.time(), UTC)
    world.stores.clock.advance((midnight - NOON).total_seconds() + 60)
    await world.report()
    assert await world.kept(TODAY) is None  # somebody may still be settling what ended before
    world.stores.clock.advance(3600)
    await world.report()
    assert await world.kept(TODAY) is not None


async def test_a_year_that_is_added_up_is_a_query_for_each_week(world: World) -> None:
    first = TODAY - timedelta(days=365)
    await world.spend(at=NOON - timedelta(days=300))
    before = await world.report(first=first, last=YESTERDAY)
    with metered(world.client) as cost:
        after = await world.report(first=first, last=YESTERDAY)
    assert after == before
    assert cost.calls == 1 + 53  # that there is such a tenant, and its weeks
    assert cost.calls == 1 + math.ceil(366 / DAYS_AT_ONCE)


async def test_nothing_is_kept_of_a_tenant_that_is_being_removed(world: World) -> None:
    await world.spend(at=NOON - timedelta(days=1), cost=Decimal(1))
    leaving = Tenant(id=world.stores.tenant, created_at=LONG_AGO, deleted_at=NOON)
    await world.stores.directory.put_tenant(leaving)
    assert (await world.report()).total.sums.cost == Decimal(1)
    assert await world.kept() is None


async def test_a_forgotten_user_is_in_no_sums_any_more(world: World) -> None:
    await world.spend(user="alice", at=NOON - timedelta(days=1), cost=Decimal(1))
    await world.report()
    tenant = world.stores.tenant
    assert await world.ledger.forget_user(tenant, "alice", YESTERDAY) == 1
    assert await world.kept() == Rollup(1)
    report = await world.report("user")
    assert [(row.labels, row.sums.cost) for row in report.rows] == [((FORGOTTEN,), Decimal(1))]
    kept = await world.kept()
    assert kept is not None
    assert kept.sums is not None
    assert [labels.user for labels in kept.sums] == [FORGOTTEN]


async def test_sums_that_were_made_before_a_user_was_forgotten_are_not_kept_after_it(
    world: World,
) -> None:
    tenant = world.stores.tenant
    await world.spend(user="alice", at=NOON - timedelta(days=1))
    await world.ledger.forget_user(tenant, "alice", YESTERDAY)
    await world.ledger.keep(tenant, YESTERDAY, {ALICE: Sums(turns=1)}, version=0)
    assert await world.kept() == Rollup(1)
    await world.ledger.keep(tenant, YESTERDAY, {}, version=1)
    assert await world.kept() == Rollup(1, {})


async def test_days_that_a_user_had_no_part_in_stay_added_up(world: World) -> None:
    await world.spend(user="bob", at=NOON - timedelta(days=1))
    await world.report()
    before = await world.kept()
    assert before is not None
    for day in (YESTERDAY, TODAY):
        assert await world.ledger.forget_user(world.stores.tenant, "alice", day) == 0
    assert await world.kept() == before
    assert await world.kept(TODAY) is None


async def test_a_removal_that_was_interrupted_before_the_sums_drops_them_when_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.spend(user="alice", at=NOON - timedelta(days=1))
    await world.report()

    async def interrupted(*_: Any) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as broken:
        broken.setattr(world.ledger, "_drop", interrupted)
        with pytest.raises(StoreUnavailable):
            await world.ledger.forget_user(world.stores.tenant, "alice", YESTERDAY)
    assert await world.ledger.forget_user(world.stores.tenant, "alice", YESTERDAY) == 0
    assert await world.kept() == Rollup(1)


async def test_sums_that_nobody_may_keep_any_more_leave_no_parts(
    world: World, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    many = {ALICE._replace(user=f"{number:05}-{'u' * 60}"): Sums() for number in range(6000)}
    await world.spend(user="alice", at=NOON - timedelta(days=1))
    await world.ledger.forget_user(world.stores.tenant, "alice", YESTERDAY)
    await world.ledger.keep(world.stores.tenant, YESTERDAY, many, version=0)
    parts = keys.rollup_parts(world.stores.tenant, YESTERDAY)
    assert Database(dynamodb, SystemClock()).query(tables.ledger, parts) == []


async def test_sums_of_many_thousand_users_are_kept_and_dropped_whole(
    world: World, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    tenant = world.stores.tenant
    many = {
        ALICE._replace(user=f"user-{number:05}-{'u' * 60}"): Sums(turns=1, cost=Decimal("0.01"))
        for number in range(6000)
    }
    await world.ledger.keep(tenant, YESTERDAY, many, version=0)
    assert await world.kept() == Rollup(0, many)
    assert (await world.report(last=YESTERDAY)).total.sums.cost == Decimal(60)
    await world.ledger.forget_user(tenant, next(iter(many)).user, YESTERDAY)
    assert await world.kept() == Rollup(1)
    parts = Database(dynamodb, SystemClock()).query(
        tables.ledger, keys.rollup_parts(tenant, YESTERDAY)
    )
    assert parts == []


def test_reports_at_once_keep_the_same_day(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    world = World(ministack_stores, dynamodb, tables)

    async def begin() -> None:
        await world.stores.directory.create_tenant(
            Tenant(id=world.stores.tenant, created_at=LONG_AGO)
        )
        for _ in range(20):
            await world.spend(at=NOON - timedelta(days=1), cost=Decimal("0.01"))

    anyio.run(begin)

    async def report(_: int) -> Any:
        return row_values((await world.report()).total)

    totals = at_once(8, report)
    assert {total["cost"] for total in totals} == {"0.20"}
    assert {total["turns"] for total in totals} == {20}


def test_what_is_kept_of_a_day_reads_back_exactly() -> None:
    sums = {ALICE: Sums(1, 2, 3, 4, 5, 6, 7, 8, 9, Decimal("1234.000000000000001"))}
    assert items.to_sums(items.from_sums(sums)) == sums


async def test_no_day_is_read_from_before_a_tenant_was_taken_on(world: World) -> None:
    tenant = Tenant(id=world.stores.tenant, created_at=NOON - timedelta(days=1))
    await world.stores.directory.put_tenant(tenant)
    await world.spend(at=NOON - timedelta(days=1))
    early = TODAY - timedelta(days=300)
    assert (await world.report(first=early)).total.sums.turns == 1
    assert list(await world.ledger.rollups(tenant.id, early, TODAY)) == [YESTERDAY]
