"""Streams told on from where their clients lost them."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.wires import MOST_AROUND, WIRES
from parley.domain.errors import NotFound
from parley.domain.ids import MessageId
from parley.domain.tenants import Caller
from parley.edge.listening import streamed, telling_of


async def resumed(caller: Caller, turn: MessageId, *, received: int) -> Response:
    """A turn's stream behind its first `received` events, in the dialect it was begun in.

    What is read of the turn is what is missing, and a few pieces: how many events a stream has
    besides pieces, and so which piece it was lost at, shows when it is told.

    Raises:
        NotFound: there is no such turn in the caller's scope, or it was never streamed.
        InvalidRequest: it is one of several that are told together.
        ParleyError: the turn ended before the model had accepted it.
    """
    skipped = max(0, received - MOST_AROUND)
    heard = await services().turns.hear(caller, turn, after=skipped)
    origin = heard.reply.origin
    wire = WIRES.get(origin.dialect) if origin else None
    if wire is None:
        raise NotFound("No such turn.")
    telling = telling_of(heard)
    wire.check(telling)
    events = wire.numbered(
        wire.tell(heard, telling),
        received=received,
        skipped=skipped,
        # Who has received more than is kept would hear nothing, and take the reply for complete.
        has_to_be_told=lambda: heard.broke_off,
    )
    return streamed(wire, heard, events)
