"""POST /v1/chat/{chatId}: say something in a chat and get the assistant's reply."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.openai import codec as openai
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import MessageBody, MessageOut
from parley.domain.ids import ConversationId
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED

router = routes_of(SESSIONS, begins_turns=True)


@router.post(
    "/v1/chat/{chatId}", status_code=201, response_model=MessageOut, responses={200: STREAMED}
)
async def send_message(
    chatId: str,  # noqa: N803 - the API's own name
    body: MessageBody,
    caller: CallerOf,
    listener: ListenerOf,
) -> MessageOut | Response:
    """Append a message to a chat and answer it, at once or as a stream of completion chunks.

    The reply may ask for calls of the `tools` that came with the message. Their results are said
    in a message of the role `tool`, all of a reply's together.
    """
    turn = await services().turns.send(
        caller,
        ConversationId.parse(chatId),
        dialect=SESSIONS.name,
        text=codec.text(body),
        tool_results=codec.tool_results(body),
        parameters=openai.parameters(body),
        options=openai.options(body),
        model=body.model,
        telling=openai.telling(body) if body.stream else {},
        once=listener.once,
    )
    if body.stream:
        return listener.stream(codec.WIRE, turn)
    return codec.message(await listener.reply(turn))
