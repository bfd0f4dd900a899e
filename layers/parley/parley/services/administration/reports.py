"""What was used, by whom and when: sums over the ledger's lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

from parley.domain.conversations import Status
from parley.domain.errors import InvalidRequest
from parley.domain.turns import UsageRecord
from parley.ports import Ledger
from parley.services.administration.tenants import Tenants

GROUPS: Mapping[str, Callable[[UsageRecord], str]] = {
    "tenant": lambda line: line.tenant,
    "user": lambda line: line.user,
    "model": lambda line: line.model,
    "day": lambda line: line.at.astimezone(UTC).date().isoformat(),
    "dialect": lambda line: line.dialect,
    "key": lambda line: line.key_id,
    "route": lambda line: line.route or "",
}
"""What a report can be broken down by, and how to tell it from a ledger line."""

MAX_DAYS = 366


@dataclass(slots=True)
class Row:
    """Sums over the turns that have the same labels."""

    labels: tuple[str, ...]
    """What they have in common, in the order of the groups that were asked for."""
    turns: int = 0
    completed: int = 0
    """Those of the turns whose reply is whole."""
    uncounted: int = 0
    """Those of which the model didn't tell the usage: their tokens are in no sum."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: int = 0
    """Those of the turns whose tokens aren't the model's own count, though they are in the sums."""
    unpriced: int = 0
    """Those whose route had no price then, and whose cost is in no sum."""
    cost: Decimal = Decimal(0)
    """US dollars, exactly."""

    def add(self, line: UsageRecord) -> None:
        """Count a turn."""
        self.turns += 1
        self.completed += line.status is Status.COMPLETED
        self.estimated += line.estimated
        if line.usage is None:
            self.uncounted += 1
            return
        if line.cost is None:
            self.unpriced += 1
        else:
            self.cost += line.cost
        self.prompt_tokens += line.usage.prompt_tokens
        self.completion_tokens += line.usage.completion_tokens
        self.cached_tokens += line.usage.cached_tokens
        self.reasoning_tokens += line.usage.reasoning_tokens


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
    """Adds up the ledger."""

    def __init__(self, tenants: Tenants, ledger: Ledger) -> None:
        self._tenants = tenants
        self._ledger = ledger

    async def usage(
        self,
        tenant_id: str | None,
        *,
        first: date,
        last: date,
        groups: Sequence[str],
    ) -> Report:
        """What a tenant, or without one all tenants, have used.

        It reads every line of these days, and keeps the sums.

        Args:
            first: the first day, in UTC.
            last: the last day, which is included.
            groups: those of `GROUPS` to break it down by.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: there is no such group, or the days are too many or in the wrong order.
        """
        for group in groups:
            if group not in GROUPS:
                raise InvalidRequest(
                    f"A report can't be by {group}; it can be by {', '.join(GROUPS)}.", param="by"
                )
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(
                f"A report is over 1 to {MAX_DAYS} days, the first one first.", param="since"
            )
        if tenant_id is None:
            tenants = [tenant.id for tenant in await self._tenants.list()]
        else:
            tenants = [(await self._tenants.get(tenant_id)).id]
        rows: dict[tuple[str, ...], Row] = {}
        total = Row(())
        for tenant in tenants:
            for day in range((last - first).days + 1):
                async for lines in self._ledger.lines(tenant, first + timedelta(days=day)):
                    for line in lines:
                        labels = tuple(GROUPS[group](line) for group in groups)
                        rows.setdefault(labels, Row(labels)).add(line)
                        total.add(line)
        ordered = tuple(row for _, row in sorted(rows.items()))
        return Report(first, last, tuple(groups), ordered, total)


def row_values(row: Row) -> dict[str, Any]:
    """A row's sums by name; the cost is text, which keeps it exact."""
    return {
        "turns": row.turns,
        "completed": row.completed,
        "uncounted": row.uncounted,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "estimated": row.estimated,
        "unpriced": row.unpriced,
        "cost": format(row.cost, "f"),
    }
