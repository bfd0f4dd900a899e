"""What a `Counter` promises."""

import pytest

from tests.support.stores import Stores

pytestmark = pytest.mark.anyio


async def test_events_are_admitted_up_to_the_limit(stores: Stores) -> None:
    answers = [await stores.counter.admit(stores.tenant, limit=3, window=60) for _ in range(5)]
    assert [(admitted, left) for admitted, left, _ in answers] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, 0),
        (False, 0),
    ]


async def test_windows_are_aligned_to_the_clock(stores: Stores) -> None:
    stores.clock.advance(47.5)
    *_, seconds = await stores.counter.admit(stores.tenant, limit=1, window=60)
    assert seconds == pytest.approx(12.5)
    stores.clock.advance(12.4)
    admitted, _, seconds = await stores.counter.admit(stores.tenant, limit=1, window=60)
    assert not admitted
    assert seconds == pytest.approx(0.1)
    stores.clock.advance(0.1)
    assert await stores.counter.admit(stores.tenant, limit=1, window=60) == (True, 0, 60.0)


async def test_names_and_windows_are_counted_apart(stores: Stores) -> None:
    for name, window in [
        (stores.tenant, 60),
        (stores.tenant, 3600),
        (stores.tenant + "#W#60", 60),
        (stores.tenant + "-other", 60),
    ]:
        admitted, left, _ = await stores.counter.admit(name, limit=1, window=window)
        assert (admitted, left) == (True, 0)


async def test_a_limit_of_nothing_admits_nothing(stores: Stores) -> None:
    assert await stores.counter.admit(stores.tenant, limit=0, window=60) == (False, 0, 60.0)


async def test_a_limit_lowered_within_a_window_holds_at_once(stores: Stores) -> None:
    for _ in range(3):
        await stores.counter.admit(stores.tenant, limit=5, window=60)
    admitted, left, _ = await stores.counter.admit(stores.tenant, limit=2, window=60)
    assert (admitted, left) == (False, 0)


async def test_a_limit_raised_within_a_window_holds_at_once(stores: Stores) -> None:
    for _ in range(3):
        await stores.counter.admit(stores.tenant, limit=2, window=60)
    admitted, left, _ = await stores.counter.admit(stores.tenant, limit=4, window=60)
    assert (admitted, left) == (True, 1)
