"""Clients that leave before they are answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def unless_left(client: Request, answering: Coroutine[Any, Any, T]) -> T:
    """What a client is answered; making the answer is cancelled if the client leaves first.

    It is made in the task that asks for it, whose context a log line reads when it is over.

    Args:
        client: a request whose body has been read.

    Raises:
        ClientDisconnect: the client left.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    has_left = is_over = False

    def leave(left: asyncio.Task[None]) -> None:
        nonlocal has_left
        if not is_over and not left.cancelled() and left.exception() is None:
            has_left = True
            task.cancel()

    leaving = asyncio.create_task(_left(client))
    leaving.add_done_callback(leave)
    try:
        return await answering
    except asyncio.CancelledError:
        if has_left and not task.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        is_over = True
        leaving.cancel()


async def _left(client: Request) -> None:
    """Wait until a client whose request has been read closes its connection."""
    while (await client.receive())["type"] != "http.disconnect":
        pass
