"""What `Connections` promises."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from parley.domain.sockets import LIFETIME
from tests.support.stores import Stores


async def take(stores: Stores, name: str, limit: int = 3) -> int | None:
    return await stores.connections.take_slot(
        stores.tenant, name, limit=limit, at=stores.clock.now()
    )


@pytest.mark.anyio
async def test_there_are_so_many_slots_and_no_more(stores: Stores) -> None:
    taken = [await take(stores, name) for name in "abcd"]
    assert taken[3] is None
    assert {slot for slot in taken if slot is not None} == {0, 1, 2}
    slots = await stores.connections.slots(stores.tenant)
    assert sorted(slot.connection for slot in slots) == ["a", "b", "c"]
    assert {slot.taken_at for slot in slots} == {stores.clock.now()}
    assert await stores.connections.slots(f"{stores.tenant}-other") == ()


@pytest.mark.anyio
async def test_a_slot_is_freed_by_whom_it_belongs_to(stores: Stores) -> None:
    [a, *_] = [await take(stores, name) for name in "abc"]
    assert a is not None
    await stores.connections.free_slot(stores.tenant, a, "b")
    assert await take(stores, "d") is None
    await stores.connections.free_slot(stores.tenant, a, "a")
    assert await take(stores, "d") == a
    await stores.connections.free_slot(stores.tenant, a, "a")
    assert await take(stores, "e") is None


@pytest.mark.anyio
async def test_a_slot_that_nobody_frees_outlives_its_connection_and_no_longer(
    stores: Stores,
) -> None:
    for name in "abc":
        await take(stores, name)
    stores.clock.advance(LIFETIME.total_seconds() - 1)
    assert await take(stores, "d") is None
    stores.clock.advance(2)
    assert await take(stores, "d") is not None


@pytest.mark.anyio
async def test_a_lower_limit_counts_those_who_came_before(stores: Stores) -> None:
    for name in "abc":
        await take(stores, name)
    assert await take(stores, "d", limit=2) is None
    assert await take(stores, "d", limit=4) == 3
    assert await take(stores, "e", limit=0) is None


@pytest.mark.anyio
async def test_a_limit_that_is_as_good_as_none_costs_no_memory(stores: Stores) -> None:
    tracemalloc.start()
    try:
        taken = {await take(stores, name, limit=2**53 - 1) for name in "abc"}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(taken - {None}) == 3
    assert peak < 10_000_000


def test_of_many_who_come_at_once_exactly_the_limit_gets_in(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    def ask(number: int) -> int | None:
        return anyio.run(take, stores, f"c{number}", 50)

    with ThreadPoolExecutor(64) as pool:
        given = list(pool.map(ask, range(64)))
    assert given.count(None) == 14
    assert {slot for slot in given if slot is not None} == set(range(50))


@pytest.mark.anyio
async def test_a_connection_is_found_until_it_is_forgotten_or_too_old(stores: Stores) -> None:
    one, two = stores.connection("1", token_user="user-1"), stores.connection("2")
    assert await stores.connections.find(one.id) is None
    for connection in (one, two):
        await stores.connections.register(connection)
        assert await stores.connections.find(connection.id) == connection
    await stores.connections.unregister(one.id)
    await stores.connections.unregister(one.id)
    assert await stores.connections.find(one.id) is None
    stores.clock.advance(LIFETIME.total_seconds() + 1)
    assert await stores.connections.find(two.id) is None
