"""What turns hold of their tenant's and key's limits, from before a model is asked to their end.

An account counts what is taken of one limit. A turn takes as much as it may use in the step that
makes it durable, and in the step that settles it gives back what it didn't use. So what an account
counts is, at every moment, what settled turns have used and what unsettled ones may use at most.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

TOKEN_WINDOW = 60
"""Seconds of a window of tokens; windows are aligned to the clock."""

_UNITS_PER_DOLLAR = 10**15


class Kind(StrEnum):
    """What an account counts."""

    BUDGET = "budget"
    """Money in a month, in units of 10^-15 US dollars: with them, no price needs rounding."""
    TOKENS = "tokens"
    """Tokens in a minute."""
    TURNS = "turns"
    """Turns that run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What counts against one limit of a tenant."""

    kind: Kind
    key_id: str | None = None
    """The API key that the limit is of; None where it is the whole tenant's."""
    period: str = ""
    """`2026-11` of a budget, the Unix time at which a window of tokens begins, or nothing."""

    @property
    def name(self) -> str:
        """The account's name within its tenant."""
        owner = "" if self.key_id is None else f"key#{self.key_id}#"
        return f"{owner}{self.kind}#{self.period}".removesuffix("#")

    @property
    def ends_at(self) -> datetime | None:
        """When its period is over and all of the limit is there again; None where it has none."""
        match self.kind:
            case Kind.BUDGET:
                first = datetime.strptime(self.period, "%Y-%m").replace(tzinfo=UTC)
                return (first + timedelta(days=31)).replace(day=1)
            case Kind.TOKENS:
                return datetime.fromtimestamp(int(self.period) + TOKEN_WINDOW, UTC)
        return None


@dataclass(frozen=True, slots=True)
class Hold:
    """What one turn takes of one account until it is settled."""

    account: Account
    amount: int
    """As much as the turn may use."""
    limit: int
    """What may be taken of the account altogether."""

    def used(self, *, tokens: int, cost: Decimal | None) -> int:
        """What of the hold a turn has used in the end; it may be more than was held.

        Args:
            cost: in US dollars; one that nobody knows counts as nothing.
        """
        match self.account.kind:
            case Kind.BUDGET:
                return units(cost or Decimal(0))
            case Kind.TOKENS:
                return tokens
        return 0


@dataclass(frozen=True, slots=True)
class Balance:
    """How an account stands."""

    taken: int = 0
    """What settled turns have used and unsettled ones may use."""
    used: int = 0
    """What settled turns have used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What is known of a turn's cost before it has ended, should nobody be there then to tell."""

    prompt_tokens: int
    """An estimate."""
    route: str
    """The label of the likeliest route."""
    prompt: Decimal | None = None
    """What a million tokens of a prompt cost there, in US dollars; None is unknown."""
    completion: Decimal | None = None
    """The same of a completion."""


class NoRoom(Exception):
    """An account has no room for a turn; nothing was changed.

    Attributes:
        hold: what of the turn has no room.
    """

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold.account.name)
        self.hold = hold


def budget(at: datetime, key_id: str | None = None) -> Account:
    """The account of a budget in a month in UTC."""
    return Account(kind=Kind.BUDGET, key_id=key_id, period=f"{at.astimezone(UTC):%Y-%m}")


def tokens(at: datetime, key_id: str | None = None) -> Account:
    """The account of a minute's tokens."""
    start = int(at.timestamp()) // TOKEN_WINDOW * TOKEN_WINDOW
    return Account(kind=Kind.TOKENS, key_id=key_id, period=str(start))


def turns(key_id: str | None = None) -> Account:
    """The account of the turns that run."""
    return Account(kind=Kind.TURNS, key_id=key_id)


def units(dollars: Decimal) -> int:
    """Money as budgets count it, exactly; what no price comes to is rounded up."""
    return int((dollars * _UNITS_PER_DOLLAR).to_integral_value(ROUND_CEILING))


def dollars(units: int) -> Decimal:
    """What budgets count, as US dollars."""
    return Decimal(units) / _UNITS_PER_DOLLAR
