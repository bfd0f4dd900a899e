"""Several turns that answer one prompt."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from parley.domain.conversations import Message
from parley.domain.turns import Failed, Finished, TurnEvent
from parley.services.turns import Turn


async def side_by_side(turns: Sequence[Turn]) -> AsyncGenerator[tuple[int, TurnEvent], None]:
    """Yield the events of turns that run side by side, one turn after the other, with its place.

    In this order whoever hears them again hears the same. Closing it early leaves those that
    haven't ended.
    """
    ended = False
    try:
        for place, turn in enumerate(turns):
            async with aclosing(turn.events()) as events:
                async for event in events:
                    yield place, event
        ended = True
    finally:
        if not ended:
            for turn in turns:
                turn.leave()


async def results(events: AsyncGenerator[tuple[int, TurnEvent], None]) -> list[Message]:
    """Wait for the settled replies, in order of their places.

    Raises:
        ParleyError: why there is no whole reply of one of them; the others are left.
    """
    replies: dict[int, Message] = {}
    async with aclosing(events):
        async for place, event in events:
            match event:
                case Finished(reply):
                    replies[place] = reply
                case Failed(_, error):
                    raise error
    return [reply for _, reply in sorted(replies.items())]
