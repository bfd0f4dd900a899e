"""Who asked for a turn, as its route sees them: they may ask again, and leave before the end."""

from collections.abc import AsyncGenerator, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
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
        """The settled reply.

        Raises:
            ParleyError: why there is no whole reply.
        """
        self._note(turn)
        return await turn.result()

    async def all(self, replies: Coroutine[Any, Any, T], turns: tuple[Turn, ...]) -> T:
        """What several turns come to.

        Args:
            replies: waits for them.

        Raises:
            ParleyError: as `replies`.
        """
        self._note(*turns)
        return await replies

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
