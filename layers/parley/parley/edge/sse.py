"""Server-sent events over any dialect's bytes."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse

KEEP_ALIVE_SECONDS = 10.0
"""Silence after which a comment is sent; edges cut a connection that is silent for 30 s or more."""

KEEP_ALIVE = b": ping\n"
"""A comment without a blank line: it belongs to the next event, and no client sees it."""

_LINE_ENDS = {
    character.encode(): b"\\u%04x" % ord(character) for character in ("\u0085", "\u2028", "\u2029")
}
"""What many readers end a line at, though no line of a stream ends there; escaped as in JSON."""

NO_MORE: Mapping[str, str] = {}

TURN_HEADER = "x-parley-turn"
"""Has the id of the turn that a stream tells."""

TELLS_TURN: dict[str, Any] = {
    TURN_HEADER: {
        "description": "The turn's id: what to stop it by, and to hear it on where it is lost.",
        "schema": {"type": "string"},
    }
}

STREAMED: dict[str, Any] = {
    "description": "The reply, at once or, where a stream was asked for, as server-sent events.",
    "content": {"text/event-stream": {}},
    "headers": TELLS_TURN,
}
"""What a route that can stream says of its 200 in the OpenAPI document."""


def event_stream(
    events: AsyncGenerator[bytes, None],
    keep_alive: bytes | None = None,
    headers: Mapping[str, str] = NO_MORE,
) -> StreamingResponse:
    """Send events as they come and keep the connection alive while there are none.

    Args:
        keep_alive: what to send in the meantime; a dialect's clients may expect something of their
            own; `KEEP_ALIVE` is harmless to others.
        headers: of the response, besides those that keep caches and proxies from holding it up.
    """
    return StreamingResponse(
        _kept_alive(events, keep_alive or KEEP_ALIVE),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers},
    )


async def _kept_alive(
    events: AsyncGenerator[bytes, None], keep_alive: bytes
) -> AsyncGenerator[bytes, None]:
    """The events, with what keeps the connection alive between them.

    One task listens and one watches the time for the whole stream: a task for each event would cost
    more than all else that is done to it.
    """
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
    heard = 0

    async def listen() -> None:
        nonlocal heard
        async with aclosing(events):
            async for event in events:
                heard += 1
                pieces.put_nowait(_in_lines(event))

    async def watch() -> None:
        while True:
            before = heard
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            if heard == before:
                pieces.put_nowait(keep_alive)

    listening, watching = asyncio.create_task(listen()), asyncio.create_task(watch())
    listening.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        listening.result()
    finally:
        listening.cancel()
        watching.cancel()
        await asyncio.wait({listening, watching})


def _in_lines(event: bytes) -> bytes:
    """The event with the same lines for every reader; such characters are in JSON strings only."""
    for character, escaped in _LINE_ENDS.items():
        event = event.replace(character, escaped)
    return event
