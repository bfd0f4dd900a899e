"""Where a tenant's model names lead: routes to models, and what they cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from parley.domain.conversations import UNDECIDED, Parameters, Usage

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
"""How a server calls the limit of a reply."""

REMOTE = frozenset({"bedrock", "openai_compatible"})
"""The back ends whose models run elsewhere."""

SECRET_NAME = re.compile(r"[A-Za-z0-9_/+=.@-]{1,200}")
"""What a route's `secret` may be."""

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost from the beginning of a day on, in US dollars."""

    since: date
    """In UTC."""
    prompt: Decimal
    completion: Decimal
    """Of the whole completion, what was spent on thinking included."""
    cached_prompt: Decimal | None = None
    """Of what was read from a cache; None where that costs as much as the rest."""

    def of(self, usage: Usage) -> Decimal:
        """What a completion costs at this price, exactly."""
        cached = self.prompt if self.cached_prompt is None else self.cached_prompt
        read_afresh = usage.prompt_tokens - usage.cached_tokens
        per_million = (
            read_afresh * self.prompt
            + usage.cached_tokens * cached
            + usage.completion_tokens * self.completion
        )
        return per_million / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long to wait for a remote model, in seconds."""

    connect: float = 3.0
    first_token: float = 60.0
    """From the beginning of the request to the first piece of the reply."""
    between_tokens: float = 30.0
    """Comments and empty events are no tokens, so a server can't wait behind them."""
    usage: float = 5.0
    """From the end of the reply to its usage and the end of the stream; it isn't worth more."""


PATIENT = TimeLimits()
"""The limits of a route that has none of its own."""


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """A way to a model: a back end, that back end's own model id, and how to ask there."""

    backend: str
    model: str
    """`*` passes on the name that was asked for, on a tenant's catch-all route."""
    name: str | None = None
    """What callers and the ledger read of it; None says back end and model."""
    parameters: Parameters = UNDECIDED
    """How to sample where neither a request nor its conversation says."""
    prices: tuple[Price, ...] = ()
    """In any order; the newest that has begun is the one in force."""
    context_window: int | None = None
    """Tokens of prompt and reply together; None where the back end knows it by itself."""
    lacks: frozenset[str] = frozenset()
    """Names of `ABILITIES` that the model doesn't have."""
    limits: TimeLimits = PATIENT
    region: str | None = None
    """Of Amazon Bedrock; None takes the deployment's own."""
    streaming: bool = True
    """False for a model of Bedrock's that can't stream."""
    base_url: str | None = None
    """Of an OpenAI-compatible server, what `/chat/completions` is appended to."""
    secret: str | None = None
    """The name of the secret that holds the server's key, among those kept for upstreams."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with each request to the server."""
    max_tokens_field: MaxTokensField = "max_tokens"

    @property
    def remote(self) -> bool:
        """Whether its model runs elsewhere: such a one may fail for a moment and be well again."""
        return self.backend in REMOTE

    @property
    def label(self) -> str:
        """What callers and the ledger read of it."""
        return self.name or f"{self.backend}/{self.model}"

    @property
    def endpoint(self) -> "ModelRoute":
        """This route without all that may differ between two that ask the same server."""
        return replace(
            self, model="", name=None, parameters=UNDECIDED, prices=(), lacks=frozenset()
        )

    def price(self, at: datetime) -> Price | None:
        """The price in force at a moment."""
        today = at.astimezone(UTC).date()
        begun = [price for price in self.prices if price.since <= today]
        return max(begun, key=lambda price: price.since) if begun else None

    def cost(self, usage: Usage, at: datetime) -> Decimal | None:
        """What a completion cost that ended at this moment, in US dollars, exactly.

        None where no price was in force: that isn't free, it is unknown.
        """
        price = self.price(at)
        return price.of(usage) if price else None

    def most(self, prompt_tokens: int, max_tokens: int, at: datetime) -> Decimal | None:
        """What a completion of at most so many tokens can cost, in US dollars.

        None where no price is in force.
        """
        return self.cost(Usage(prompt_tokens, max_tokens), at)


def upstream_secret(stack: str, name: str) -> str:
    """The whole name of a route's secret: a deployment's functions may read only those of its own.

    So no route can send another secret of the account to the server that it leads to.
    """
    return f"{stack}/upstreams/{name}"


Routes = ModelRoute | tuple[ModelRoute, ...]
"""One route, or several of which each stands in for those before it."""


def most(
    routes: Sequence[ModelRoute], prompt_tokens: int, max_tokens: int, at: datetime
) -> Decimal | None:
    """What a completion can cost whichever of the routes serves it, in US dollars.

    None where for one of them no price is in force.
    """
    costs = [route.most(prompt_tokens, max_tokens, at) for route in routes]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None
