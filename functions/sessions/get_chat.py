"""GET /v1/chats/{chatId}: one chat, without its messages."""

from parley.bootstrap import services
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import ChatOut
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS)


@router.get("/v1/chats/{chatId}")
async def get_chat(chatId: str, caller: CallerOf) -> ChatOut:  # noqa: N803 - the API's own name
    """Describe one chat."""
    conversation = await services().conversations.get(caller, ConversationId.parse(chatId))
    return codec.chat(conversation)


handler = lambda_handler(router)
