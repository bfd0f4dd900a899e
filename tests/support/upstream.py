"""An HTTP server for tests that controls every byte it sends, and notices when a client leaves."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

SSE = {"content-type": "text/event-stream"}


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exchange:
    """A request that is being answered."""

    request: Request
    _writer: asyncio.StreamWriter
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the client has closed the connection."""
    whole: bool = False
    """Whether the answer was sent to its end, so that the connection may be used again."""

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def begin(self, headers: Mapping[str, str], status: int = 200) -> None:
        """Send the head of an answer whose length isn't known yet."""
        lines = [f"HTTP/1.1 {status} Any", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def send(self, *pieces: bytes) -> None:
        """Send each piece as a chunk of its own."""
        for piece in pieces:
            await self.raw(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")
        self.whole = True

    async def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        await self.begin(headers or {"content-type": "application/json"}, status)
        if body:
            await self.send(body)
        await self.end()


Respond = Callable[[Exchange], Awaitable[None]]


def play(
    *pieces: bytes, headers: Mapping[str, str], cut: bool = False, hang: bool = False
) -> Respond:
    """Sends these pieces, then ends, or cuts the connection, or says no more."""

    async def respond(exchange: Exchange) -> None:
        await exchange.begin(headers)
        await exchange.send(*pieces)
        if hang:
            await exchange.left.wait()
        if not cut:
            await exchange.end()

    return respond


class Upstream:
    """A server on the loopback; what it does is decided by `respond`."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[Request] = []
        self.exchanges: asyncio.Queue[Exchange] = asyncio.Queue()
        self.connections = 0
        self.url = ""
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        exchange = Exchange(await _read(reader), writer)
        self.requests.append(exchange.request)
        self.exchanges.put_nowait(exchange)
        responding = asyncio.ensure_future(self.respond(exchange))
        leaving = asyncio.ensure_future(reader.read(1))  # no client sends before it has its answer
        try:
            await asyncio.wait({responding, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                exchange.left.set()
            elif responding.done():
                await responding
        finally:
            for task in (responding, leaving):
                task.cancel()
            await asyncio.gather(responding, leaving, return_exceptions=True)
        return exchange.whole and not exchange.left.is_set()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return Request(
        method, target, headers, await reader.readexactly(int(headers.get("content-length", 0)))
    )


@asynccontextmanager
async def upstream(respond: Respond) -> AsyncIterator[Upstream]:
    """A server of this event loop's; it ends with the block, whoever is still connected."""
    serving = Upstream(respond)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, limit=2**24)
    serving.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield serving
    finally:
        server.close()
        await serving.stop()


@contextmanager
def upstream_beside(respond: Respond) -> Iterator[Upstream]:
    """A server in a thread of its own, for tests that have no event loop or block it."""
    ready: threading.Event = threading.Event()
    serving: list[Upstream] = []
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with upstream(respond) as server:
            serving.append(server)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield serving[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
