"""Server-sent events out of bytes, however the network cut them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; it has data, as an event without any is none."""

    name: str
    data: bytes


class EventTooLong(Exception):
    """An event is longer than any honest server's."""


class EventReader:
    """Reads a stream of events as the HTML standard says, comments left out.

    Lines are split before anything is decoded, so a cut inside a character does no harm.
    """

    def __init__(self, *, longest: int) -> None:
        """Begin at the start of a stream.

        Args:
            longest: bytes of one event; more raise `EventTooLong`.
        """
        self._longest = longest
        self._begun = False
        self._line = b""  # whose end hasn't come yet
        self._after_return = False  # so a line feed that comes next ends no further line
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Take the next bytes and yield the events that they end.

        Raises:
            EventTooLong: there is no end in sight.
        """
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r") or (self._after_return and not chunk)
        *lines, self._line = _LINE_END.split(self._line + chunk)
        for line in lines:
            event = self._read(line)
            if event:
                yield event
        if self._size + len(self._line) > self._longest:
            raise EventTooLong

    def rest(self) -> ServerSentEvent | None:
        """The event that the end of the stream has cut off, as far as it came."""
        self._read(self._line)
        self._line = b""
        return self._dispatch()

    def _read(self, line: bytes) -> ServerSentEvent | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event
