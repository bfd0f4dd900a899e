"""GET /api/v1/chats/user/{user_id}: a user's chats."""

import asyncio

from parley.bootstrap import services
from parley.dialects.fields import Identifier
from parley.dialects.tenant import TENANT, codec
from parley.dialects.tenant.schema import DEFAULT_PAGE, ChatPage, Limit, Offset, Order
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(TENANT)


@router.get("/api/v1/chats/user/{user_id}")
async def list_user_chats(
    user_id: Identifier,
    caller: CallerOf,
    offset: Offset = 0,
    limit: Limit = DEFAULT_PAGE,
    order: Order = "desc",
) -> ChatPage:
    """List a user's chats by time of creation, newest first."""
    conversations = services().conversations
    page, total = await asyncio.gather(
        conversations.list(
            caller, user=user_id, limit=limit, offset=offset, newest_first=order == "desc"
        ),
        conversations.count(caller, user=user_id),
    )
    return codec.chats(page, total=total, offset=offset, limit=limit)


handler = lambda_handler(router)
