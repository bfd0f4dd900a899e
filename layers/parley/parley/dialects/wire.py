"""How a dialect tells a turn as server-sent events, so that it can be told again from any place."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from parley.domain.ids import MessageId
from parley.services.turns import Turn

Telling = Mapping[str, Any]
"""What a turn is told with, as `Origin.telling` keeps it."""


def _anything(_telling: Telling) -> None:
    """Let everything be told again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A dialect's stream: a preamble, an event for each piece that it shows, and an end."""

    tell: Callable[[Turn, Telling], AsyncGenerator[bytes, None]]
    """Turns a turn into events, each with data and a blank line behind it."""
    preamble: int
    """How many events come before the first piece."""
    longest_end: int
    """How many come behind the last one at most."""
    show_id: Callable[[MessageId], str]
    """A turn's id as the dialect's clients know it."""
    keep_alive: bytes | None = None
    """What is sent in silence where clients expect something of their own."""
    numbers: bool = True
    """Whether events carry their numbers as ids; some clients read nothing but data."""
    bare: bytes | None = None
    """An event that carries none, since clients know it by all of its bytes."""
    check: Callable[[Telling], None] = _anything
    """Raises `InvalidRequest` where a stream can't be told from its middle."""

    async def numbered(
        self,
        events: AsyncGenerator[bytes, None],
        *,
        received: int = 0,
        skipped: int = 0,
        has_to_be_told: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[bytes, None]:
        """What comes behind the first `received` events of a stream.

        Args:
            events: the stream, without the first `skipped` pieces behind its preamble.
            has_to_be_told: whether the newest event comes whatever was received.
        """
        number = 0
        async with aclosing(events) as told:
            async for event in told:
                number += 1
                if number == self.preamble + 1:
                    number += skipped
                if number > received or has_to_be_told():
                    has_id = self.numbers and event != self.bare
                    yield event[:-1] + b"id: %d\n\n" % number if has_id else event
