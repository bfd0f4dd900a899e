"""What a turn may use: worked out before a model is asked, so that it can be set aside."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from parley.domain import holds
from parley.domain.conversations import Origin, Usage
from parley.domain.errors import (
    BudgetExhausted,
    InvalidRequest,
    ParleyError,
    PriceUnknown,
    RateLimited,
    TooManyTurns,
)
from parley.domain.holds import Hold, Kind, NoRoom, Quote
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller
from parley.domain.tokens import LIKELY_PER_MESSAGE, estimate_tokens, likely_tokens, most_tokens
from parley.domain.turns import CompletionRequest, Image
from parley.services.turns.deltas import Assembly

TOOLS_PREAMBLE = 1_000
"""Tokens that a back end may spend on telling a model how to call functions."""

SOON = 1.0
"""Seconds after which to try again where a turn has to end first: nobody knows when that is."""


def reserved(
    origin: Origin,
    caller: Caller,
    routes: Sequence[ModelRoute],
    request: CompletionRequest,
    *,
    window: int,
    at: datetime,
    times: int = 1,
) -> Origin:
    """The origin of a turn with what it holds until it is settled, and what it may come to cost.

    Args:
        routes: any of which may serve; none of them takes more tokens than `window`.
        times: how many such turns begin together.

    Raises:
        InvalidRequest: it asks for more tokens than there are in a whole minute.
        PriceUnknown: there is a budget, but a route without a price.
    """
    first = routes[0]
    price = first.price(at)
    quote = Quote(
        prompt_tokens=prompt_tokens(request),
        route=first.label,
        prompt=price.prompt if price else None,
        completion=price.completion if price else None,
    )
    most = _Most(routes, request, window=window, at=at, times=times)
    return replace(origin, quote=quote, holds=tuple(_holds(caller, most)))


def prompt_tokens(request: CompletionRequest) -> int:
    """Tokens that a prompt takes, as likely too many as too few."""
    texts = sum(likely_tokens(text) for text in _texts(request))
    return texts + LIKELY_PER_MESSAGE * len(request.messages)


def estimated(prompt_tokens: int, kept: Assembly) -> Usage:
    """What a reply has used as far as it came, where nobody has counted."""
    thoughts = likely_tokens(kept.reasoning)
    calls = sum(likely_tokens(call.name + call.arguments) for call in kept.tool_calls)
    return Usage(
        prompt_tokens,
        likely_tokens(kept.text) + thoughts + calls,
        reasoning_tokens=thoughts,
    )


def refusal(no_room: NoRoom, at: datetime) -> ParleyError:
    """What a caller is told of a turn that there is no room for."""
    hold = no_room.hold
    whose = "This API key" if hold.account.key_id is not None else "This account"
    ends_at = hold.account.ends_at
    left = max((ends_at - at).total_seconds(), 0.0) if ends_at else SOON
    match hold.account.kind:
        case Kind.TURNS:
            return TooManyTurns(
                f"{whose} has {hold.limit} replies being made, and no more are at a time. "
                "Try again when one has ended.",
                retry_after=left,
            )
        case Kind.TOKENS:
            return RateLimited(
                f"The limit of {hold.limit} tokens a minute is reached. "
                f"Try again in {max(1, round(left))} seconds.",
                retry_after=left,
            )
        case Kind.BUDGET:
            return BudgetExhausted(
                f"{whose} has a budget for the month, and what is left of it may not be enough for "
                "this request. One with a lower `max_tokens` needs less.",
                retry_after=left,
            )


def _holds(caller: Caller, most: "_Most") -> Iterator[Hold]:
    """What a turn takes of each account that counts it, the tenant's and the key's."""
    tenant, key = caller.tenant, caller.limits
    owners = ((tenant.limits, tenant.budget, None), (key, key.budget, caller.key_id))
    for limits, budget, key_id in owners:
        if limits.concurrent_turns is not None:
            yield Hold(holds.turns(key_id), 1, limits.concurrent_turns)
        if limits.tokens_per_minute is not None:
            amount = most.tokens(limits.tokens_per_minute)
            yield Hold(holds.tokens(most.at, key_id), amount, limits.tokens_per_minute)
        if budget is not None:
            yield Hold(holds.budget(most.at, key_id), holds.units(most.cost()), holds.units(budget))


@dataclass(frozen=True, slots=True)
class _Most:
    """What each of some equal turns can use."""

    routes: Sequence[ModelRoute]
    request: CompletionRequest
    _: KW_ONLY
    window: int
    at: datetime
    times: int

    def tokens(self, limit: int) -> int:
        """How many tokens to take of a minute's.

        Where a request sets no end to its reply, all that there is of a minute is enough.
        """
        prompt = sum(map(estimate_tokens, _texts(self.request)))
        wanted = self.request.parameters.max_tokens
        if wanted is None and prompt * self.times <= limit:
            return min(self.window, limit // self.times)
        whole = (prompt + (wanted or 0)) * self.times
        if whole > limit:
            raise InvalidRequest(
                f"This asks for up to {whole} tokens, and {limit} is all that may be used in a "
                "minute. Send a shorter prompt, or ask for fewer tokens with `max_tokens`.",
                param="max_tokens" if wanted else "messages",
            )
        return prompt + (wanted or 0)

    def cost(self) -> Decimal:
        """US dollars, whichever of the routes serves."""
        images = (
            part
            for message in self.request.messages
            for part in message.parts
            if isinstance(part, Image)
        )
        if any(images):  # a picture takes as many tokens as its model likes
            prompt = self.window
        else:
            prompt = sum(map(most_tokens, _texts(self.request)))
            prompt = min(prompt + (TOOLS_PREAMBLE if self.request.tools else 0), self.window)
        return max(self._cost(route, prompt) for route in self.routes)

    def _cost(self, route: ModelRoute, prompt: int) -> Decimal:
        parameters = self.request.parameters.over(route.parameters)
        reply = min(parameters.max_tokens or self.window, self.window)
        cost = route.most(prompt, reply, self.at)
        if cost is None and route.remote:
            raise PriceUnknown(
                "There is a budget, and no price is set for this model. "
                "Please ask whoever has given you this API key."
            )
        return cost or Decimal(0)  # a model of our own without a price is for free


def _texts(request: CompletionRequest) -> Iterator[str]:
    """All texts that a back end is sent."""
    for message in request.messages:
        yield message.text
        for call in message.tool_calls:
            yield call.id + call.name + call.arguments
    for tool in request.tools:
        yield json.dumps(asdict(tool), ensure_ascii=False)
    if request.response_format is not None:
        yield json.dumps(asdict(request.response_format), ensure_ascii=False)
