"""Sums of ledger lines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from parley.domain.conversations import Status
from parley.domain.turns import UsageRecord


class Labels(NamedTuple):
    """What turns of one tenant and day have in common whose usage is added up."""

    user: str
    key_id: str
    dialect: str
    model: str
    route: str
    """Empty where no model accepted the request."""


@dataclass(slots=True)
class Sums:
    """What some turns have used together."""

    turns: int = 0
    completed: int = 0
    """Those of the turns whose reply is whole."""
    uncounted: int = 0
    """Those that have no usage, as no model accepted them."""
    estimated: int = 0
    """Those whose tokens aren't the model's own count, though they are in the sums."""
    unpriced: int = 0
    """Those whose route had no price then, and whose cost is in no sum."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    """US dollars, exactly."""

    def count(self, line: UsageRecord) -> None:
        """Add a turn."""
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

    def add(self, others: "Sums") -> None:
        """Add what other turns have used."""
        self.turns += others.turns
        self.completed += others.completed
        self.uncounted += others.uncounted
        self.estimated += others.estimated
        self.unpriced += others.unpriced
        self.prompt_tokens += others.prompt_tokens
        self.completion_tokens += others.completion_tokens
        self.cached_tokens += others.cached_tokens
        self.reasoning_tokens += others.reasoning_tokens
        self.cost += others.cost


@dataclass(frozen=True, slots=True)
class Rollup:
    """What is kept of a tenant's day."""

    version: int = 0
    """Goes up whenever lines of the day are changed."""
    sums: Mapping[Labels, Sums] | None = None
    """The day's; None where they have to be added up anew."""


def labels_of(line: UsageRecord) -> Labels:
    """What a line is added up by."""
    return Labels(line.user, line.key_id, line.dialect, line.model, line.route or "")


def add_up(lines: Iterable[UsageRecord], sums: dict[Labels, Sums]) -> None:
    """Add lines of one tenant and day to its sums."""
    for line in lines:
        sums.setdefault(labels_of(line), Sums()).count(line)
