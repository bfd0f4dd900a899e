"""POST /api/chat/continuation/stream: say something more in a session and stream the reply."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from parley.bootstrap import services
from parley.dialects.fields import Identifier
from parley.dialects.personas import PERSONAS, codec
from parley.dialects.personas.schema import ContinuationBody
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(PERSONAS, begins_turns=True)


@router.post(
    "/api/chat/continuation/stream",
    response_class=StreamingResponse,
    responses={200: codec.STREAM},
)
async def continue_session(
    body: ContinuationBody,
    caller: CallerOf,
    listener: ListenerOf,
    session_id: Annotated[Identifier | None, Query(include_in_schema=False)] = None,
) -> Response:
    """Continue a session and stream the answer; `session_id` may be in the query instead.

    The persona is the one that the session was begun with; a request needn't name it again.
    """
    session = codec.session(body.session_id, session_id)
    selector = codec.selector(body.persona)
    if selector is not None:
        await services().personas.check_session(caller, session, selector, once=listener.once)
    turn = await services().turns.send(
        caller,
        session,
        dialect=PERSONAS.name,
        text=body.message,
        telling=codec.telling("session_continued"),
        once=listener.once,
    )
    return listener.stream(codec.WIRE, turn)
