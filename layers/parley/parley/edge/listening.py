"""Who asked for a turn, as its route sees them: they may ask again, and leave before the end."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from parley.dialects.wire import Telling, Wire
from parley.domain.conversations import Message
from parley.domain.once import Once
from parley.edge.sse import TURN_HEADER, event_stream
from parley.services.turns import Turn

T = TypeVar("T")


class Listener:
    """Whoever made a request that turns answer.

    Attributes:
        once: the request, where it carries an idempotency key.
    """

    def __init__(self, request: Request) -> None:
        self.once: Once | None = request.state.once
        self._request = request

    async def reply(self, turn: Turn) -> Message:
        """The settled reply; the turn is left if the client leaves first.

        Raises:
            ClientDisconnect: it did.
            ParleyError: why there is no whole reply.
        """
        return await self.all(turn.result(), (turn,))

    async def all(self, replies: Coroutine[Any, Any, T], turns: tuple[Turn, ...]) -> T:
        """What several turns come to; they are left if the client leaves first.

        Args:
            replies: waits for them; cancelling it leaves them.

        Raises:
            ClientDisconnect: the client left.
            ParleyError: as `replies`.
        """
        self._note(*turns)
        waiting = asyncio.create_task(replies)
        leaving = asyncio.create_task(_left(self._request.state.client))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            raise ClientDisconnect
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.wait({waiting, leaving})

    def stream(
        self, wire: Wire, turn: Turn, events: AsyncGenerator[bytes, None] | None = None
    ) -> Response:
        """A turn as server-sent events.

        Args:
            events: what is told, where it isn't just the one turn.
        """
        self._note(turn)
        return streamed(wire, turn, wire.numbered(events or wire.tell(turn, telling_of(turn))))

    def _note(self, *turns: Turn) -> None:
        """Have the response say whether it was given before."""
        self._request.state.is_replayed = any(turn.is_told_again for turn in turns)


def _listener(request: Request) -> Listener:
    return Listener(request)


ListenerOf = Annotated[Listener, Depends(_listener)]
"""Who waits for the turns that a route begins."""


def telling_of(turn: Turn) -> Telling:
    """What a turn is told with."""
    return turn.reply.origin.telling if turn.reply.origin else {}


def streamed(wire: Wire, turn: Turn, events: AsyncGenerator[bytes, None]) -> Response:
    """Events of a turn as a response that names it."""
    return event_stream(events, wire.keep_alive, {TURN_HEADER: wire.show_id(turn.reply.id)})


async def _left(client: Request) -> None:
    """Wait until a client whose request has been read closes its connection."""
    while (await client.receive())["type"] != "http.disconnect":
        pass
