"""A tenant's requests a minute."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from parley.adapters.memory import MemoryCounter
from parley.domain.tenants import Caller, KeyKind, KeyLimits, Limits, Tenant
from parley.services.limits import LimitReached
from parley.services.limits import Limits as Admission
from tests.support.clock import NOON, ManualClock

pytestmark = pytest.mark.anyio


def caller(tenant: str) -> Caller:
    limits = Limits(requests_per_minute=2)
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return Caller(Tenant(id=tenant, created_at=created, limits=limits), "key_1", KeyKind.TEST)


async def test_what_is_left_is_told_with_every_request_until_nothing_is(clock: ManualClock) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    clock.advance(20)
    first = await admission.admit(caller("acme"))
    second = await admission.admit(caller("acme"))
    assert (first.limit, first.remaining, first.resets_in) == (2, 1, 40)
    assert second.remaining == 0
    with pytest.raises(LimitReached) as refused:
        await admission.admit(caller("acme"))
    assert refused.value.retry_after == 40
    assert refused.value.allowance == replace(second, remaining=0)


async def test_the_end_of_the_window_is_a_whole_minute_whoever_asks_and_when(
    clock: ManualClock,
) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    clock.advance(0.25)
    first = await admission.admit(caller("acme"))
    clock.advance(59.5)
    second = await admission.admit(caller("acme"))
    assert first.resets_at == second.resets_at == int(NOON.timestamp()) + 60


async def test_a_slow_counter_does_not_move_the_end_of_the_window(clock: ManualClock) -> None:
    class Slow(MemoryCounter):
        async def admit(self, name: str, *, limit: int, window: int) -> tuple[bool, int, float]:
            answer = await super().admit(name, limit=limit, window=window)
            clock.advance(3)
            return answer

    clock.advance(58)
    allowance = await Admission(Slow(clock), clock).admit(caller("acme"))
    assert allowance.resets_at == int(NOON.timestamp()) + 60


async def test_a_new_minute_begins_with_the_whole_limit(clock: ManualClock) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    for _ in range(2):
        await admission.admit(caller("acme"))
    clock.advance(60)
    assert (await admission.admit(caller("acme"))).remaining == 1


async def test_a_key_that_is_refused_leaves_its_tenants_other_keys_their_requests(
    clock: ManualClock,
) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    brief = replace(caller("acme"), limits=KeyLimits(requests_per_minute=1))
    assert (await admission.admit(brief)).limit == 1
    for _ in range(3):
        with pytest.raises(LimitReached) as refused:
            await admission.admit(brief)
        assert refused.value.allowance.limit == 1
    other = replace(caller("acme"), key_id="key_2")
    assert (await admission.admit(other)).remaining == 0


async def test_the_tighter_of_two_limits_is_told(clock: ManualClock) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    patient = replace(caller("acme"), limits=KeyLimits(requests_per_minute=5))
    allowance = await admission.admit(patient)
    assert (allowance.limit, allowance.remaining) == (2, 1)


async def test_one_tenant_does_not_use_up_anothers_limit(clock: ManualClock) -> None:
    admission = Admission(MemoryCounter(clock), clock)
    for _ in range(2):
        await admission.admit(caller("acme"))
    assert (await admission.admit(caller("zenith"))).remaining == 1
