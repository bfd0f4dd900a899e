"""Server-sent events: kept alive in silence, closed when their reader leaves."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from parley.edge import sse

pytestmark = pytest.mark.anyio


def body(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    iterator = sse.event_stream(events).body_iterator
    assert isinstance(iterator, AsyncGenerator)
    return iterator


async def test_events_pass_unchanged_and_in_order() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    assert [sent async for sent in body(events())] == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_silence_is_filled_with_comments_that_belong_to_the_next_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.001)
    spoken = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        await spoken.wait()
        yield b"data: late\n\n"

    async with aclosing(body(events())) as stream:
        assert [await anext(stream) for _ in range(3)] == [b": ping\n"] * 3
        spoken.set()
        rest = [sent async for sent in stream]
    assert rest[-1] == b"data: late\n\n"
    assert set(rest[:-1]) <= {b": ping\n"}


async def test_a_dialect_may_fill_silence_with_an_event_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.001)

    async def events() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    iterator = sse.event_stream(events(), b"event: ping\n\n").body_iterator
    assert isinstance(iterator, AsyncGenerator)
    async with aclosing(iterator) as stream:
        assert await anext(stream) == b"event: ping\n\n"


async def test_a_reader_who_leaves_closes_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.001)
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            closed.set()

    async with aclosing(body(events())) as stream:
        assert await anext(stream) == b": ping\n"
    assert closed.is_set()


async def test_an_error_among_the_events_is_not_swallowed() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        _ = [sent async for sent in body(events())]
