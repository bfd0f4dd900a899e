"""Whether what a deployment needs can be reached, by the clock."""

import asyncio

import pytest

from parley.domain.errors import StoreUnavailable
from parley.services.readiness import FRESH_SECONDS, Readiness
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    """Answer."""


async def never() -> None:
    """Don't."""
    await asyncio.Event().wait()


async def test_what_does_not_answer_in_time_is_unreachable_and_the_others_are_not() -> None:
    probes = {"store": never, "model": nothing, "other": None}
    told = await Readiness(probes, ManualClock(), limit_seconds=0.01).check()
    assert told == {"store": "unreachable", "model": "ok", "other": "not_configured"}


async def test_nothing_is_asked_again_while_an_answer_is_fresh() -> None:
    asked: list[str] = []

    async def failing() -> None:
        asked.append("store")
        raise StoreUnavailable("no")

    clock = ManualClock()
    readiness = Readiness({"store": failing}, clock)
    for _ in range(3):
        assert await readiness.check() == {"store": "unreachable"}
    assert asked == ["store"]
    clock.advance(FRESH_SECONDS + 1)
    await readiness.check()
    assert asked == ["store", "store"]
