"""POST /api/v1/chat/stream: ask the consultant and get the answer as it is made."""

from starlette.responses import Response

from parley.bootstrap_search import consultant
from parley.dialects.consultant import CONSULTANT, codec
from parley.dialects.consultant.schema import QuestionBody
from parley.domain.ids import ConversationId
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import event_stream

router = routes_of(CONSULTANT)

_STREAMED = {
    "description": "The products found, the answer in pieces, and its end, as server-sent events.",
    "content": {"text/event-stream": {}},
}


@router.post("/api/v1/chat/stream", response_class=Response, responses={200: _STREAMED})
@router.post("/v1/chat/stream", response_class=Response, responses={200: _STREAMED})
async def stream_message(body: QuestionBody, caller: CallerOf) -> Response:
    """Find products for a message and answer it as a stream, in a new chat or an earlier one."""
    turn = await consultant().ask(
        caller.acting_for(body.user_id) if body.user_id else caller,
        dialect=CONSULTANT.name,
        message=body.message,
        chat=None if body.chat_id is None else ConversationId.from_number(body.chat_id),
    )
    return event_stream(codec.events(turn))
