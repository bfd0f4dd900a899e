"""How much a tenant may ask."""

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass

from parley.domain.errors import RateLimited
from parley.domain.tenants import Caller
from parley.ports import Clock, Counter

WINDOW = 60
"""Seconds of a request window; windows are aligned to the clock, the same for every instance."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window after this request."""

    limit: int
    remaining: int
    resets_in: float
    """Seconds until the window ends and `limit` requests are allowed again."""
    resets_at: int
    """When that is, in Unix seconds."""


class LimitReached(RateLimited):
    """The tenant has used up this minute's requests.

    Attributes:
        allowance: the limit, of which nothing is left.
    """

    def __init__(self, allowance: Allowance) -> None:
        super().__init__(
            f"The limit of {allowance.limit} requests a minute is reached. "
            f"Try again in {max(1, math.ceil(allowance.resets_in))} seconds.",
            retry_after=allowance.resets_in,
        )
        self.allowance = allowance


_admission: ContextVar[asyncio.Task[Allowance] | None] = ContextVar("admission", default=None)


async def admitted() -> None:
    """Wait until the request that this is part of is admitted; one that nobody counts passes.

    Raises:
        LimitReached: it isn't.
    """
    admission = _admission.get()
    if admission is not None:
        await asyncio.shield(admission)


class Limits:
    """Admits requests by the tenant's own limits, exactly, however many instances run."""

    def __init__(self, counter: Counter, clock: Clock) -> None:
        self._counter = counter
        self._clock = clock

    def admit_meanwhile(self, caller: Caller) -> asyncio.Task[Allowance]:
        """Count one request as `admit` does, side by side with what else it takes.

        Whoever serves the request has to wait for it: with `admitted` before anything is changed or
        spent, and for the allowance at the end.
        """
        admission = asyncio.create_task(self.admit(caller))
        _admission.set(admission)
        return admission

    async def admit(self, caller: Caller) -> Allowance:
        """Count one request of this caller's tenant, and of its key where that has a limit.

        The key goes first: what it is refused must not use up what the tenant's other keys may.
        What the tenant is refused is counted against the key alone, in a window in which nothing
        more of the tenant's is admitted anyway.

        Returns:
            The tighter of the two.

        Raises:
            LimitReached: this minute's requests are used up.
        """
        tenant = caller.tenant
        of_key: Allowance | None = None
        if caller.limits.requests_per_minute is not None:
            of_key = await self._count(
                f"{tenant.id}#requests#{caller.key_id}", caller.limits.requests_per_minute
            )
        of_tenant = await self._count(f"{tenant.id}#requests", tenant.limits.requests_per_minute)
        if of_key is not None and of_key.remaining < of_tenant.remaining:
            return of_key
        return of_tenant

    async def _count(self, name: str, limit: int) -> Allowance:
        admitted, remaining, resets_in = await self._counter.admit(name, limit=limit, window=WINDOW)
        # Windows end on whole minutes: the nearest is meant, however long the counter took.
        resets_at = round((self._clock.now().timestamp() + resets_in) / WINDOW) * WINDOW
        allowance = Allowance(limit, remaining, resets_in, resets_at)
        if not admitted:
            raise LimitReached(allowance)
        return allowance
