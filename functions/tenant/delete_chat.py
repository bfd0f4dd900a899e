"""DELETE /api/v1/chats/{chat_id}: remove a chat and everything said in it."""

from parley.bootstrap import services
from parley.dialects.tenant import TENANT, codec
from parley.dialects.tenant.schema import DeletedOut
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(TENANT)


@router.delete("/api/v1/chats/{chat_id}")
async def delete_chat(chat_id: str, caller: CallerOf) -> DeletedOut:
    """Remove a chat with all its messages; there is no way back."""
    conversation = ConversationId.parse(chat_id)
    await services().conversations.delete(caller, conversation)
    return codec.deleted(conversation)


handler = lambda_handler(router)
