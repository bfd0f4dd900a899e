"""Whether what a deployment needs can be reached right now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

from parley.domain.errors import ParleyError
from parley.ports import Clock

log = logging.getLogger(__name__)

State = Literal["ok", "unreachable", "not_configured"]

Probe = Callable[[], Awaitable[None]]
"""Asks something for a sign of life, at no cost to speak of; raises `ParleyError` if there is none.
"""

LIMIT_SECONDS: Final = 2.0
"""How long one may take to answer."""

FRESH_SECONDS: Final = 5.0
"""How long an answer is good for: everybody may ask, and the store isn't asked each time."""


class Readiness:
    """Asks all that is needed, side by side."""

    def __init__(
        self,
        probes: Mapping[str, Probe | None],
        clock: Clock,
        *,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        """Note what to ask.

        Args:
            probes: by the name that is told; None where there is nothing to ask.
        """
        self._probes = probes
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._told: Mapping[str, State] = {}
        self._told_at = float("-inf")

    async def check(self) -> Mapping[str, State]:
        """The state of each, as it was within the last seconds."""
        if self._clock.monotonic() - self._told_at > FRESH_SECONDS:
            states = await asyncio.gather(*map(self._state, self._probes.items()))
            self._told = dict(zip(self._probes, states, strict=True))
            self._told_at = self._clock.monotonic()
        return self._told

    async def _state(self, probe: tuple[str, Probe | None]) -> State:
        name, ask = probe
        if ask is None:
            return "not_configured"
        asking = asyncio.ensure_future(_answers(name, ask))
        # Not cancelled when time is up: a call in a thread can't be, and would be waited for.
        done, _ = await asyncio.wait({asking}, timeout=self._limit_seconds)
        if not done:
            log.error("%s doesn't answer in time", name)
        return "ok" if done and asking.result() else "unreachable"


async def _answers(name: str, ask: Probe) -> bool:
    try:
        await ask()
    except ParleyError as error:
        log.error("%s can't be reached: %s", name, error.code)  # noqa: TRY400 - nobody needs to know where
        return False
    return True
