"""An event loop whose time passes only when nobody has anything to do, and then at once."""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.support.clock import NOON

LONGEST_CALL = 60.0
"""Seconds that a call outside the loop may really take."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Sleeps for an hour take no time, and happen in the order they would on a clock on the wall.

    What others do for the loop, in threads, takes no time on its clock.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._calls_outside = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds that have passed."""
        return self._now

    @contextmanager
    def calling_outside(self) -> Iterator[None]:
        """Let time stand still while somebody outside the loop does something for it."""
        self._calls_outside += 1
        try:
            yield
        finally:
            self._calls_outside -= 1

    def wait_outside(self) -> bool:
        """Whether there is somebody outside to be waited for."""
        return self._calls_outside > 0

    def pass_time(self, seconds: float) -> None:
        """Let time pass at once."""
        self._now += seconds


class LoopClock:
    """A `Clock` that shows a loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._loop.wait_outside():
            return super().select(LONGEST_CALL)
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("Everybody waits for something that will never happen.")
            self._loop.pass_time(timeout)
        return events
