"""POST /ai/v1/chat-messages: ask an app something, in a new conversation or an earlier one."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import AnswerOut, ChatBody
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED

router = routes_of(APPS, begins_turns=True)


@router.post("/ai/v1/chat-messages", response_model=AnswerOut, responses={200: STREAMED})
async def create_message(
    body: ChatBody, caller: CallerOf, listener: ListenerOf
) -> AnswerOut | Response:
    """Ask something and get the answer, at once or as a stream.

    Without a conversation the inputs fill the app's form and begin one.
    """
    caller = caller.acting_for(body.user)
    streams = body.response_mode == "streaming"
    turn, conversation_id = await services().apps.ask(
        caller,
        body.conversation_id,
        text=body.query,
        inputs=body.inputs or {},
        named=body.auto_generate_name,
        dialect=APPS.name,
        telling=codec.telling if streams else codec.not_streamed,
        once=listener.once,
    )
    if streams:
        return listener.stream(codec.WIRE, turn)
    return codec.answer(await listener.reply(turn), conversation_id)
