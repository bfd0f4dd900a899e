"""What live chats need to know of the words their clients use."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from parley.domain.errors import ParleyError
from parley.domain.sockets import ChatRef, Connection, Entry

FRAME_BYTES = 32_000
"""The longest frame that is sent, in UTF-8; API Gateway takes 32 KB."""

TEXT_BYTES = 30_000
"""The longest text in a frame, as JSON in UTF-8; the rest is for what stands around it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message as a client sent it."""

    text: str
    client_id: str | None = None
    """The client's own id of it, given back with what becomes of it."""


class Wire(Protocol):
    """A dialect of frames; each is JSON, and has at most 2,000 bytes beside its text."""

    @property
    def name(self) -> str:
        """The dialect's name."""
        ...

    def read(self, frame: str) -> Said:
        """What a client says.

        Raises:
            InvalidRequest: it can't be read; the message says why.
        """
        ...

    def describe(self, error: ParleyError) -> Mapping[str, Any]:
        """An error as clients are told it."""
        ...

    def established(self, connection: Connection, at: datetime, *, resumed: bool) -> str:
        """The first frame of a connection."""
        ...

    def refused(self, error: Mapping[str, Any], at: datetime) -> str:
        """The frame that tells an error beside all chats."""
        ...

    def happened(self, chat: ChatRef, entry: Entry) -> str:
        """The frame that tells an event."""
        ...


def size(text: str) -> int:
    """Bytes of a text as JSON in UTF-8."""
    return len(json.dumps(text, ensure_ascii=False).encode())


def pieces(text: str) -> Iterator[str]:
    """Cut a text between characters so that each piece fits a frame."""
    if size(text) <= TEXT_BYTES:
        yield text
    else:
        middle = len(text) // 2
        yield from pieces(text[:middle])
        yield from pieces(text[middle:])
