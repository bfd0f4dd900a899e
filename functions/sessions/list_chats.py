"""GET /v1/chats: a user's chats."""

from typing import Annotated

from fastapi import Query

from parley.bootstrap import services
from parley.dialects.fields import Identifier
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import ChatList
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS)


@router.get("/v1/chats")
async def list_chats(
    caller: CallerOf,
    user: Identifier | None = None,
    after: Identifier | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ChatList:
    """List a user's chats, newest first; `after` is the id of the last one already seen."""
    page = await services().conversations.list(
        caller, user=user, limit=limit, after=ConversationId.parse(after) if after else None
    )
    return codec.chat_list(page)


handler = lambda_handler(router)
