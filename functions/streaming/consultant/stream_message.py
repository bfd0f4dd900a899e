"""POST /api/v1/chat/stream: ask the consultant and get the answer as it is made."""

from starlette.responses import Response

from parley.bootstrap_search import consultant
from parley.dialects.consultant import CONSULTANT, codec
from parley.dialects.consultant.schema import QuestionBody
from parley.domain.ids import ConversationId
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(CONSULTANT, begins_turns=True)

_STREAMED = {
    "description": "The products found, the answer in pieces, and its end, as server-sent events.",
    "content": {"text/event-stream": {}},
}


@router.post("/api/v1/chat/stream", response_class=Response, responses={200: _STREAMED})
@router.post("/v1/chat/stream", response_class=Response, responses={200: _STREAMED})
async def stream_message(body: QuestionBody, caller: CallerOf, listener: ListenerOf) -> Response:
    """Find products for a message and answer it as a stream, in a new chat or an earlier one."""
    turn = await consultant().ask(
        caller.acting_for(body.user_id) if body.user_id else caller,
        dialect=CONSULTANT.name,
        message=body.message,
        chat=None if body.chat_id is None else ConversationId.from_number(body.chat_id),
        telling=codec.TELLING,
        once=listener.once,
    )
    return listener.stream(codec.WIRE, turn)
