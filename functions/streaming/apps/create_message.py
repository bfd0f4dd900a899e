"""POST /ai/v1/chat-messages: ask an app something, in a new conversation or an earlier one."""

import time

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import AnswerOut, ChatBody
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED, event_stream

router = routes_of(APPS)


@router.post("/ai/v1/chat-messages", response_model=AnswerOut, responses={200: STREAMED})
async def create_message(body: ChatBody, caller: CallerOf) -> AnswerOut | Response:
    """Ask something and get the answer, at once or as a stream.

    Without a conversation the inputs fill the app's form and begin one.
    """
    began = time.perf_counter()
    caller = caller.acting_for(body.user)
    turn, conversation_id = await services().apps.ask(
        caller,
        body.conversation_id,
        text=body.query,
        inputs=body.inputs or {},
        named=body.auto_generate_name,
        dialect=APPS.name,
    )

    def seconds() -> float:
        return time.perf_counter() - began

    if body.response_mode == "streaming":
        return event_stream(codec.events(turn, conversation_id, seconds=seconds), codec.KEEP_ALIVE)
    return codec.answer(await turn.result(), conversation_id, seconds=seconds())
