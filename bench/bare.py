"""What streaming is compared with: the same bytes from a bare Starlette response."""

import os
from collections.abc import AsyncGenerator
from functools import cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

STREAMS = "PARLEY_BENCH_STREAMS"
"""Names the folder that holds the streams to send, each in a file under its name."""


@cache
def _events(name: str) -> list[bytes]:
    stream = (Path(os.environ[STREAMS]) / name).read_bytes()
    return [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]


async def _send(events: list[bytes]) -> AsyncGenerator[bytes, None]:
    for event in events:
        yield event


async def _stream(request: Request) -> StreamingResponse:
    await request.body()
    events = _events(request.path_params["name"])
    return StreamingResponse(_send(events), media_type="text/event-stream")


app = Starlette(routes=[Route("/{name}", _stream, methods=["POST"])])
