"""Clients that leave before they are answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def unless_left(client: Request, answering: Coroutine[Any, Any, T]) -> T:
    """What a client is answered; whoever makes the answer is cancelled if the client leaves first.

    Args:
        client: a request whose body has been read.

    Raises:
        ClientDisconnect: the client left.
    """
    waiting = asyncio.create_task(answering)
    leaving = asyncio.create_task(_left(client))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not waiting.done():
            leaving.result()
            raise ClientDisconnect
        return waiting.result()
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.wait({waiting, leaving})


async def _left(client: Request) -> None:
    """Wait until a client whose request has been read closes its connection."""
    while (await client.receive())["type"] != "http.disconnect":
        pass
