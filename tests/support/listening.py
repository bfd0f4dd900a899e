"""A client of streamed replies that notes when it heard what, and outlives who tells it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Heard:
    """What came of a stream before it ended or broke off."""

    status: int | None = None
    """None where not even that came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[tuple[float, str]] = field(default_factory=list)
    """Pieces of the reply, and when by the monotonic clock they came."""
    events: int = 0
    """How many events with data came."""
    done: bool = False
    error: str | None = None
    """The code of the error that the stream, or the answer instead of it, told of."""

    @property
    def text(self) -> str:
        """All that the reply has said."""
        return "".join(piece for _, piece in self.pieces)


async def listen(
    client: httpx.AsyncClient,
    path: str,
    body: Mapping[str, Any] | None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    on_piece: Callable[[int], None] = lambda _: None,
    into: Heard | None = None,
) -> Heard:
    """Ask for a reply as chunks and hear it to its end, or for as long as there is anybody.

    Args:
        on_piece: called with the number of every piece, counted from 1.
        into: what notes all that is heard, for who wants to see it meanwhile.
    """
    heard = into or Heard()
    try:
        async with client.stream(method, path, json=body, headers=headers) as response:
            heard.status, heard.headers = response.status_code, response.headers
            if response.status_code >= 400:
                await response.aread()
                heard.error = response.json()["error"]["code"]
                return heard
            async for line in response.aiter_lines():
                note(heard, line, on_piece)
    except httpx.TransportError:
        pass  # whoever told it is dead
    return heard


def note(heard: Heard, line: str, on_piece: Callable[[int], None] = lambda _: None) -> None:
    """Note what a line of a stream of chunks says."""
    if not line.startswith("data: "):
        return
    heard.events += 1
    data = line.removeprefix("data: ")
    if data == "[DONE]":
        heard.done = True
        return
    chunk = json.loads(data)
    if "error" in chunk:
        heard.error = chunk["error"]["code"]
        return
    for choice in chunk["choices"]:
        if choice["delta"].get("content"):
            heard.pieces.append((time.monotonic(), choice["delta"]["content"]))
            on_piece(len(heard.pieces))


def script(*steps: Mapping[str, Any]) -> str:
    """A message that makes the scripted model do as it says."""
    return "script:" + json.dumps(list(steps))


def words(count: int, *, wait: float, first: int = 0) -> list[dict[str, Any]]:
    """Steps of a script that say so many words, no two alike."""
    return [{"text": f"w{number} ", "wait": wait} for number in range(first, first + count)]
