"""Reports are the ledger's sums, to the token, however they are broken down."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from parley.adapters.dynamodb import ledger
from parley.domain.conversations import Status, Usage
from parley.domain.tenants import Tenant
from tests.admin.conftest import Program
from tests.support.stores import Stores, finished

pytestmark = pytest.mark.anyio


async def spend(stores: Stores, usage: Usage | None, **how: Any) -> None:
    reply = replace(finished(await stores.begin_completion(), "Hi!"), usage=usage)
    record = replace(stores.record(reply), **how)
    assert await stores.conversations.settle(reply, record, last=None)


async def test_a_report_is_right_to_the_token(program: Program, stores: Stores) -> None:
    today = stores.clock.now()
    yesterday = today - timedelta(days=1)
    tenant = Tenant(id=stores.tenant, created_at=today - timedelta(days=60))
    await stores.directory.put_tenant(tenant)
    await spend(stores, Usage(10, 5, 4, 2), user="alice", model="small", cost=Decimal("0.0000751"))
    await spend(stores, Usage(100, 50), user="bob", model="small", dialect="apps", at=yesterday)
    await spend(stores, Usage(1000, 500), user="bob", model="large", status=Status.STOPPED)
    await spend(stores, None, user="bob", model="large", status=Status.FAILED)
    await spend(stores, Usage(7, 7), at=today - timedelta(days=40))

    whole = await program.away("usage", stores.tenant)
    assert whole["total"] | {"turns": 4, "completed": 2, "uncounted": 1} == whole["total"]
    assert whole["total"]["prompt_tokens"] == 1110
    assert whole["total"]["completion_tokens"] == 555
    assert (whole["total"]["cost"], whole["total"]["unpriced"]) == ("0.0000751", 2)
    assert (whole["total"]["cached_tokens"], whole["total"]["reasoning_tokens"]) == (4, 2)

    by_user = await program.away("usage", stores.tenant, "--by", "user,model")
    assert [(row["user"], row["model"], row["prompt_tokens"]) for row in by_user["rows"]] == [
        ("alice", "small", 10),
        ("bob", "large", 1000),
        ("bob", "small", 100),
    ]
    by_day = await program.away("usage", stores.tenant, "--by", "day", "--until", str(today.date()))
    assert {row["day"]: row["turns"] for row in by_day["rows"]} == {
        str(yesterday.date()): 1,
        str(today.date()): 3,
    }
    early = str((today - timedelta(days=50)).date())
    longer = await program.away("usage", stores.tenant, "--since", early)
    assert longer["total"]["turns"] == 5


async def test_one_report_covers_all_tenants(program: Program, stores: Stores) -> None:
    await spend(stores, Usage(3, 4))
    today = str(stores.clock.now().date())
    report = await program.away("usage", "--by", "tenant", "--since", today)
    [row] = [row for row in report["rows"] if row["tenant"] == stores.tenant]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (3, 4)


async def test_a_person_reads_a_table_with_a_total(program: Program, stores: Stores) -> None:
    await spend(stores, Usage(1000, 234), model="small")
    answer = await program.run_away("usage", stores.tenant, "--by", "model")
    *_, row, total = answer.out.splitlines()
    assert row.split()[:2] == ["small", "1"]
    assert total.startswith("total")
    assert "1,000" in total


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--by", "mood"), "can't be by mood"),
        (("--since", "2026-02-02", "--until", "2026-02-01"), "the first one first"),
        (("--since", "2020-01-01"), "days"),
        (("--since", "yesterday"), "2026-03-01"),
    ],
)
def test_what_cannot_be_reported_is_told(
    program: Program, tenant: str, arguments: tuple[str, ...], why: str
) -> None:
    assert why in program.refused("usage", tenant, *arguments)


async def test_no_line_is_lost_between_two_pages(
    program: Program, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAGE", 1)
    for _ in range(25):
        await spend(stores, Usage(1, 2))
    today = str(stores.clock.now().date())
    report = await program.away("usage", stores.tenant, "--since", today)
    assert (report["total"]["turns"], report["total"]["completion_tokens"]) == (25, 50)
