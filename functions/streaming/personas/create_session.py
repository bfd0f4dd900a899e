"""POST /api/chat/completion/stream: begin a session with a persona and stream its first reply."""

from starlette.responses import Response, StreamingResponse

from parley.bootstrap import services
from parley.dialects.personas import PERSONAS, codec
from parley.dialects.personas.schema import CompletionBody
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(PERSONAS, begins_turns=True)


@router.post(
    "/api/chat/completion/stream",
    response_class=StreamingResponse,
    responses={200: codec.STREAM},
)
async def create_session(body: CompletionBody, caller: CallerOf, listener: ListenerOf) -> Response:
    """Begin a session and stream the answer to its first message.

    The persona is the token's, or with an API key the one selected, or else the key's default.
    """
    if listener.once is None or listener.once.begun is None:
        await services().turns.check_room(caller, text=body.message)
    session = await services().personas.begin(
        caller, codec.selector(body.persona), user=body.user_id, once=listener.once
    )
    turn = await services().turns.send(
        caller,
        session,
        dialect=PERSONAS.name,
        text=body.message,
        telling=codec.telling("session_created"),
        once=listener.once,
    )
    return listener.stream(codec.WIRE, turn)
