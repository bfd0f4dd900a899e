"""What an `EventLog` promises."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import anyio
import pytest

from parley.domain.conversations import FinishReason, Status, Usage
from parley.domain.ids import ConversationId, MessageId
from parley.domain.sockets import (
    BEGINNING,
    LIFETIME,
    LOG_LIFETIME,
    ChatEvent,
    ChatRef,
    Entry,
    ErrorOccurred,
    MessageReceived,
    Reader,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    UserCreated,
)
from tests.support.stores import Stores

MESSAGE = MessageId(ConversationId(7), 2)
EVENTS: tuple[ChatEvent, ...] = (
    UserCreated("user-1"),
    MessageReceived(MESSAGE, "ሰላም 😀\n", "mine"),
    MessageReceived(MESSAGE, None),
    ReplyStarted(MESSAGE),
    ReplyText(MESSAGE, "\x00 \t"),
    ReplyEnded(MESSAGE, Status.COMPLETED, FinishReason.LENGTH, Usage(3, 4)),
    ReplyEnded(MESSAGE, Status.STOPPED),
    ErrorOccurred({"code": "c", "details": {"n": 1}}, MESSAGE, "mine", "c1"),
)


async def append(stores: Stores, text: str, *, behind: int = BEGINNING) -> Entry:
    event = ReplyText(MESSAGE, text)
    return await stores.events.append(stores.chat, event, at=stores.clock.now(), behind=behind)


async def told(stores: Stores, after: int = BEGINNING, limit: int = 100) -> list[str]:
    entries, _ = await stores.events.read(stores.chat, after=after, limit=limit)
    return [entry.event.text for entry in entries if isinstance(entry.event, ReplyText)]


@pytest.mark.anyio
async def test_events_are_read_as_they_were_appended(stores: Stores) -> None:
    at = stores.clock.now()
    appended = [await stores.events.append(stores.chat, event, at=at) for event in EVENTS]
    entries, _ = await stores.events.read(stores.chat, after=BEGINNING, limit=100)
    assert list(entries) == appended
    assert tuple(entry.event for entry in entries) == EVENTS
    first = appended[0].position
    assert [entry.position for entry in entries] == list(range(first, first + len(EVENTS)))
    assert await stores.events.newest(stores.chat) == appended[-1].position


@pytest.mark.anyio
async def test_a_log_is_read_from_any_position_on(stores: Stores) -> None:
    positions = [(await append(stores, str(number))).position for number in range(5)]
    assert await told(stores, positions[1]) == ["2", "3", "4"]
    assert await told(stores, positions[1], limit=2) == ["2", "3"]
    assert await told(stores, positions[4]) == []
    entries, _ = await stores.events.read(stores.chat, after=None, limit=100)
    assert entries == ()


@pytest.mark.anyio
async def test_an_outdated_guess_of_the_newest_costs_no_order(stores: Stores) -> None:
    first = await append(stores, "1")
    await append(stores, "2")
    third = await append(stores, "3", behind=first.position)
    assert third.position == first.position + 2
    assert await told(stores) == ["1", "2", "3"]


@pytest.mark.anyio
async def test_chats_and_tenants_have_logs_of_their_own(stores: Stores) -> None:
    await append(stores, "1")
    others = ChatRef(stores.tenant, ConversationId(8)), ChatRef("other", ConversationId(7))
    for other in others:
        assert await stores.events.newest(other) == BEGINNING
        assert await stores.events.read(other, after=BEGINNING, limit=100) == ((), ())


@pytest.mark.anyio
async def test_positions_rise_over_a_log_that_is_forgotten(stores: Stores) -> None:
    old = [await append(stores, "old") for _ in range(3)]
    stores.clock.advance(LOG_LIFETIME.total_seconds() + 1)
    assert await stores.events.newest(stores.chat) == BEGINNING
    assert not await stores.events.has(stores.chat, old[-1].position)
    new = await append(stores, "new")
    assert new.position > old[-1].position
    assert await told(stores) == ["new"]
    assert await told(stores, old[0].position) == ["new"]
    assert await told(stores, limit=2) == ["new"]
    assert (await append(stores, "next")).position == new.position + 1


@pytest.mark.anyio
async def test_an_entry_is_there_or_not(stores: Stores) -> None:
    entry = await append(stores, "1")
    assert await stores.events.has(stores.chat, entry.position)
    assert not await stores.events.has(stores.chat, entry.position + 1)
    assert not await stores.events.has(stores.chat, BEGINNING)


@pytest.mark.anyio
async def test_readers_are_read_beside_entries_however_many_there_are(stores: Stores) -> None:
    one, two = stores.connection("1", cursor=3), stores.connection("2")
    await stores.events.subscribe(one)
    await stores.events.subscribe(two)
    for number in range(3):
        await append(stores, str(number))
    await stores.events.lease(stores.chat, "me", until=stores.clock.now())
    await stores.events.claim(stores.tenant, MESSAGE)
    wanted = (Reader(one.id, 3), Reader(two.id, 0))
    for limit in (1, 2, 3, 4, 5, 6, 100):
        entries, readers = await stores.events.read(stores.chat, after=BEGINNING, limit=limit)
        assert len(entries) == min(limit, 3)
        assert readers == wanted
    _, readers = await stores.events.read(stores.chat, after=None, limit=1)
    assert readers == wanted


@pytest.mark.anyio
async def test_a_reader_only_ever_moves_on(stores: Stores) -> None:
    connection = stores.connection("1")
    await stores.events.subscribe(connection)
    for cursor in (5, 3):
        await stores.events.advance(stores.chat, connection.id, cursor)
    await stores.events.advance(stores.chat, "nobody", 5)
    _, readers = await stores.events.read(stores.chat, after=None, limit=1)
    assert readers == (Reader(connection.id, 5),)


@pytest.mark.anyio
async def test_a_reader_leaves_or_outlives_its_connection(stores: Stores) -> None:
    one, two = stores.connection("1"), stores.connection("2")
    await stores.events.subscribe(one)
    await stores.events.subscribe(two)
    await stores.events.unsubscribe(stores.chat, one.id)
    await stores.events.unsubscribe(stores.chat, one.id)
    _, readers = await stores.events.read(stores.chat, after=None, limit=1)
    assert [reader.connection for reader in readers] == [two.id]
    stores.clock.advance(LIFETIME.total_seconds() + 1)
    assert await stores.events.read(stores.chat, after=None, limit=1) == ((), ())


@pytest.mark.anyio
async def test_one_courier_at_a_time_for_as_long_as_it_wishes(stores: Stores) -> None:
    def ends(seconds: float) -> timedelta:
        return timedelta(seconds=seconds)

    events, chat, clock = stores.events, stores.chat, stores.clock
    assert await events.lease(chat, "one", until=clock.now() + ends(5))
    assert not await events.lease(chat, "two", until=clock.now() + ends(5))
    clock.advance(4)
    assert await events.lease(chat, "one", until=clock.now() + ends(5))
    clock.advance(4)
    assert not await events.lease(chat, "two", until=clock.now() + ends(5))
    clock.advance(1)
    assert await events.lease(chat, "two", until=clock.now() + ends(5))
    assert not await events.lease(chat, "one", until=clock.now() + ends(5))
    await events.release(chat, "one")
    assert not await events.lease(chat, "one", until=clock.now() + ends(5))
    await events.release(chat, "two")
    assert await events.lease(chat, "one", until=clock.now() + ends(5))


@pytest.mark.anyio
async def test_a_turn_is_claimed_once(stores: Stores) -> None:
    assert await stores.events.claim(stores.tenant, MESSAGE)
    assert not await stores.events.claim(stores.tenant, MESSAGE)
    assert await stores.events.claim(stores.tenant, MessageId(MESSAGE.conversation, 4))


def test_many_who_append_at_once_leave_neither_gap_nor_overlap(threadsafe_stores: Stores) -> None:
    """Also where the log is only just begun."""
    stores = threadsafe_stores

    def write(writer: int) -> list[int]:
        async def call() -> list[int]:
            return [(await append(stores, f"{writer}.{number}")).position for number in range(5)]

        return anyio.run(call)

    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(write, range(16)))
    positions = sorted(position for each in given for position in each)
    assert positions == list(range(positions[0], positions[0] + 80))
    said = anyio.run(told, stores)
    assert sorted(said) == sorted(
        f"{writer}.{number}" for writer in range(16) for number in range(5)
    )
    for writer in range(16):
        own = [text for text in said if text.startswith(f"{writer}.")]
        assert own == [f"{writer}.{number}" for number in range(5)]


def test_of_many_who_want_to_be_courier_one_is(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    def ask(number: int) -> bool:
        async def call() -> bool:
            until = stores.clock.now() + timedelta(seconds=5)
            return await stores.events.lease(stores.chat, str(number), until=until)

        return anyio.run(call)

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(ask, range(16))) == [False] * 15 + [True]
