"""A client thin enough to leave the time to the server."""

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

SECONDS = 30
DELTA = b'"content":"x"'
"""What the first content of a reply looks like, wherever it is cut."""

_END = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream and its times in seconds from the request on."""

    first: float
    """Until the first content."""
    whole: float
    body: bytes


class Client:
    """One kept-alive connection to a server on the loopback."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._key = key

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def stream(self, path: str, body: dict[str, Any]) -> Streamed:
        """Post a request and read the stream that answers it.

        Raises:
            RuntimeError: the answer isn't a whole stream.
        """
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._key}\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        received = bytearray()
        first = 0.0
        began = time.perf_counter()
        self._socket.sendall(head.encode() + data)
        while not received.endswith(_END):
            chunk = self._socket.recv(1 << 18)
            received += chunk
            if not first and DELTA in received:
                first = time.perf_counter() - began
            if not chunk or not received.startswith(b"HTTP/1.1 200"[: len(received)]):
                raise RuntimeError(f"The server answered: {bytes(received[:2000])!r}")
        whole = time.perf_counter() - began
        if b"data: [DONE]" not in received[-100:]:
            raise RuntimeError(f"The stream ended with: {bytes(received[-2000:])!r}")
        return Streamed(first, whole, _body(bytes(received)))


def _body(response: bytes) -> bytes:
    """The body of a response in HTTP's chunks."""
    at = response.index(b"\r\n\r\n") + 4
    parts = []
    while at < len(response):
        line_ends = response.index(b"\r\n", at)
        begins = line_ends + 2
        ends = begins + int(response[at:line_ends], 16)
        parts.append(response[begins:ends])
        at = ends + 2
    return b"".join(parts)
