"""What was used, by whom and when: sums over the ledger's lines."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from parley.domain.errors import InvalidRequest
from parley.domain.tenants import Tenant
from parley.domain.usage import Labels, Rollup, Sums, add_up
from parley.ports import Clock, Ledger
from parley.services.administration.tenants import Tenants

GROUPS: Mapping[str, Callable[[str, date, Labels], str]] = {
    "tenant": lambda tenant, _, __: tenant,
    "user": lambda _, __, labels: labels.user,
    "model": lambda _, __, labels: labels.model,
    "day": lambda _, day, __: day.isoformat(),
    "dialect": lambda _, __, labels: labels.dialect,
    "key": lambda _, __, labels: labels.key_id,
    "route": lambda _, __, labels: labels.route,
}
"""What a report can be broken down by, and how to tell it from a day's sums."""

MAX_DAYS = 366

DAYS_AT_ONCE = 7
"""Whose sums are in memory together; a day of a busy tenant may have some ten thousand."""
DAYS = 30
"""Of a report that isn't told where to begin."""

LATEST_LINE = timedelta(hours=1)
"""How long after a day its last line is written at most; a turn is settled for some minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """Sums over the turns that have the same labels."""

    labels: tuple[str, ...]
    """What they have in common, in the order of the groups that were asked for."""
    sums: Sums = field(default_factory=Sums)


@dataclass(frozen=True, slots=True)
class Report:
    """What was used from one day to another, both included, in UTC."""

    first: date
    last: date
    groups: tuple[str, ...]
    rows: tuple[Row, ...]
    """By their labels."""
    total: Row = field(default_factory=lambda: Row(()))


class Reports:
    """Adds up the ledger: today from its lines, other days from sums that are made once."""

    def __init__(self, tenants: Tenants, ledger: Ledger, clock: Clock) -> None:
        self._tenants = tenants
        self._ledger = ledger
        self._clock = clock

    async def usage(
        self,
        tenant_id: str | None,
        *,
        groups: Sequence[str],
        first: date | None = None,
        last: date | None = None,
    ) -> Report:
        """What a tenant, or without one all tenants, have used.

        It reads the sums of days that are over, and the lines of those of which there are none yet;
        no day from before a tenant was taken on.

        Args:
            groups: those of `GROUPS` to break it down by.
            first: the first day, in UTC; None is that of the last 30 days.
            last: the last day, which is included; None is today.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: there is no such group, or the days are too many or in the wrong order.
        """
        for group in groups:
            if group not in GROUPS:
                raise InvalidRequest(
                    f"A report can't be by {group}; it can be by {', '.join(GROUPS)}.", param="by"
                )
        last = last or self._clock.now().astimezone(UTC).date()
        first = first or max(last, date.min + timedelta(days=DAYS)) - timedelta(days=DAYS - 1)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(
                f"A report is over 1 to {MAX_DAYS} days, the first one first.", param="since"
            )
        if tenant_id is None:
            tenants = await self._tenants.list()
        else:
            tenants = (await self._tenants.get(tenant_id),)
        rows: dict[tuple[str, ...], Row] = {}
        total = Row(())
        for tenant in tenants:
            taken_on = tenant.created_at.astimezone(UTC).date()
            async for day, sums in self._days(tenant, max(first, taken_on), last):
                for labels, of in sums.items():
                    named = tuple(GROUPS[group](tenant.id, day, labels) for group in groups)
                    rows.setdefault(named, Row(named)).sums.add(of)
                    total.sums.add(of)
        ordered = tuple(row for _, row in sorted(rows.items()))
        return Report(first, last, tuple(groups), ordered, total)

    async def _days(
        self, tenant: Tenant, first: date, last: date
    ) -> AsyncIterator[tuple[date, Mapping[Labels, Sums]]]:
        now = self._clock.now()
        last = min(last, now.astimezone(UTC).date())
        kept: Mapping[date, Rollup] = {}
        for ago in range((last - first).days + 1):
            day = first + timedelta(days=ago)
            if ago % DAYS_AT_ONCE == 0:
                until = min(last, day + timedelta(days=DAYS_AT_ONCE - 1))
                kept = await self._ledger.rollups(tenant.id, day, until)
            rollup = kept.get(day, Rollup())
            if rollup.sums is not None:
                yield day, rollup.sums
            else:
                sums: dict[Labels, Sums] = {}
                async for lines in self._ledger.lines(tenant.id, day):
                    add_up(lines, sums)
                is_whole = now >= datetime.combine(day, time.max, UTC) + LATEST_LINE
                if is_whole and tenant.deleted_at is None:  # else there is to be nothing of it
                    await self._ledger.keep(tenant.id, day, sums, version=rollup.version)
                yield day, sums


def row_values(row: Row) -> dict[str, Any]:
    """A row's sums by name; the cost is text, which keeps it exact."""
    sums = row.sums
    return {
        "turns": sums.turns,
        "completed": sums.completed,
        "uncounted": sums.uncounted,
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "cached_tokens": sums.cached_tokens,
        "reasoning_tokens": sums.reasoning_tokens,
        "estimated": sums.estimated,
        "unpriced": sums.unpriced,
        "cost": format(sums.cost, "f"),
    }
