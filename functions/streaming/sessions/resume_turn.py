"""GET /v1/turns/{turnId}/events: hear a streamed turn of any dialect from where it was lost."""

from typing import Annotated

from fastapi import Header, Query
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response, StreamingResponse

from parley.dialects.fields import MAX_INTEGER
from parley.dialects.sessions import SESSIONS, codec
from parley.edge.resuming import resumed
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED

router = routes_of(SESSIONS, for_every_api=True)

Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


@router.get(
    "/v1/turns/{turnId}/events", response_class=StreamingResponse, responses={200: STREAMED}
)
async def resume_turn(
    turnId: str,  # noqa: N803 - in camel case, as the sessions API writes names
    caller: CallerOf,
    starting_after: Annotated[
        Count | SkipJsonSchema[None],
        Query(description="How many events with data have been received."),
    ] = None,
    last_event_id: Annotated[
        Count | SkipJsonSchema[None],
        Header(description="The same, as browsers send it by themselves."),
    ] = None,
) -> Response:
    """Tell a stream on behind the events that were received, live if the turn is under way.

    The stream is that of the request which began the turn, byte for byte, for a day after its end.
    `turnId` is the reply's id in whatever form its dialect shows it: a response's `x-parley-turn`.
    """
    received = last_event_id if starting_after is None else starting_after
    return await resumed(caller, codec.any_reply_id(turnId), received=received or 0)
