"""GET /api/v1/chats/{chat_id}: one chat, without its messages."""

from parley.bootstrap import services
from parley.dialects.tenant import TENANT, codec
from parley.dialects.tenant.schema import ChatOut
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(TENANT)


@router.get("/api/v1/chats/{chat_id}")
async def get_chat(chat_id: str, caller: CallerOf) -> ChatOut:
    """Describe one chat."""
    conversation = await services().conversations.get(caller, ConversationId.parse(chat_id))
    return codec.chat(conversation)


handler = lambda_handler(router)
