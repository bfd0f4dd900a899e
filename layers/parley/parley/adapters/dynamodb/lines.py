"""Lines, in which the threads of one process wait instead of colliding in the store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from parley.domain.errors import StoreUnavailable


@dataclass(slots=True)
class Line:
    """Who waits for the same thing, and what the one before has left for the next."""

    known: int = 0
    """How many messages the conversation had when the one before was done with it, at least."""
    waiting: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)


class Lines:
    """The lines before each conversation; a line is there as long as someone stands in it."""

    def __init__(self) -> None:
        self._lines: dict[object, Line] = {}
        self._changing = threading.Lock()

    @contextmanager
    def join(self, what: object, *, seconds: float) -> Iterator[Line]:
        """Wait for one's turn; whoever stands behind waits until the block is left.

        Raises:
            StoreUnavailable: it didn't come within so many seconds.
        """
        with self._changing:
            line = self._lines.setdefault(what, Line())
            line.waiting += 1
        try:
            if not line.turn.acquire(timeout=max(seconds, 0)):
                raise StoreUnavailable("The store is too busy right now. Please try again.")
            try:
                yield line
            finally:
                line.turn.release()
        finally:
            with self._changing:
                line.waiting -= 1
                if not line.waiting:
                    del self._lines[what]
