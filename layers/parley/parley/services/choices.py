"""Several turns that answer one prompt side by side."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from parley.domain.conversations import Message
from parley.domain.turns import Failed, Finished, TurnEvent
from parley.services.turns import Turn


async def side_by_side(turns: Sequence[Turn]) -> AsyncGenerator[tuple[int, TurnEvent], None]:
    """Yield the events of all turns as they come, each with its turn's place.

    It ends when every turn has; closing it earlier leaves the turns that haven't.
    """
    if len(turns) == 1:  # as nearly always, and then no queue between is worth its time
        async with aclosing(turns[0].events()) as alone:
            async for event in alone:
                yield 0, event
        return
    events: asyncio.Queue[tuple[int, TurnEvent]] = asyncio.Queue()

    async def listen(place: int, turn: Turn) -> None:
        async with aclosing(turn.events()) as heard:
            async for event in heard:
                events.put_nowait((place, event))

    listening = [asyncio.create_task(listen(*each)) for each in enumerate(turns)]
    running = len(turns)
    try:
        while running:
            place, event = await events.get()
            running -= isinstance(event, Finished | Failed)
            yield place, event
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


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
