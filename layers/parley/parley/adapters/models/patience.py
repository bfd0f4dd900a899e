"""How long a remote model is waited for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from parley.domain.errors import ModelUnavailable
from parley.domain.routes import TimeLimits

T = TypeVar("T")


class Patience:
    """What is left of the time for one call; only waiting uses it up, not what a caller does."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._left = limits.first_token
        self._begun = False

    async def wait(self, coming: Awaitable[T]) -> T:
        """Wait for what comes next.

        Raises:
            TimeoutError: it took too long; `failure` says it to the caller.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        async with asyncio.timeout(self._left):
            arrived = await coming
        self._left -= clock() - began
        return arrived

    def renew(self) -> None:
        """Note a piece of the reply; the next may take as long again."""
        self._begun = True
        self._left = self._limits.between_tokens

    def near_the_end(self) -> None:
        """Note that the reply has ended and nothing but its usage may still come."""
        self._left = min(self._left, self._limits.usage)

    def failure(self) -> ModelUnavailable:
        """What to raise when there is none left."""
        if self._begun:
            return ModelUnavailable("The model fell silent in the middle of its reply.")
        return ModelUnavailable("The model took too long to begin its reply. Please try again.")
