"""GET /api/v1/chats/{chat_id}/messages: what was said in a chat."""

from parley.bootstrap import services
from parley.dialects.tenant import TENANT, codec
from parley.dialects.tenant.schema import DEFAULT_PAGE, Limit, MessagePage, Offset, Order
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(TENANT)


@router.get("/api/v1/chats/{chat_id}/messages")
async def list_messages(
    chat_id: str,
    caller: CallerOf,
    offset: Offset = 0,
    limit: Limit = DEFAULT_PAGE,
    order: Order = "asc",
) -> MessagePage:
    """Read a chat's messages, oldest first; a page of very long ones ends before its limit."""
    conversation, page = await services().conversations.history(
        caller,
        ConversationId.parse(chat_id),
        offset=offset,
        limit=limit,
        newest_first=order == "desc",
    )
    return codec.messages(conversation, page, offset=offset, limit=limit)


handler = lambda_handler(router)
