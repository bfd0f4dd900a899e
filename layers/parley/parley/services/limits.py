"""How much a tenant may ask."""

from dataclasses import dataclass

from parley.domain.errors import RateLimited
from parley.domain.tenants import Caller
from parley.ports import Counter

WINDOW = 60
"""Seconds of a request window; windows are aligned to the clock, the same for every instance."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window after this request."""

    limit: int
    remaining: int
    resets_in: float
    """Seconds until the window ends and `limit` requests are allowed again."""


class Limits:
    """Admits requests by the tenant's own limits, exactly, however many instances run."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def admit(self, caller: Caller) -> Allowance:
        """Count one request of this caller's tenant.

        Raises:
            RateLimited: the tenant has used up this minute's requests; it wasn't counted.
        """
        limit = caller.tenant.limits.requests_per_minute
        admitted, remaining, resets_in = await self._counter.admit(
            f"{caller.tenant.id}#requests", limit=limit, window=WINDOW
        )
        if not admitted:
            raise RateLimited(
                f"The limit of {limit} requests a minute is reached. "
                f"Try again in {resets_in:.0f} seconds.",
                retry_after=resets_in,
            )
        return Allowance(limit, remaining, resets_in)
