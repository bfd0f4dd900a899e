"""GET /v1/chat/{chatId}/history: what was said in a chat."""

from typing import Annotated, Literal

from fastapi import Query

from parley.bootstrap import services
from parley.dialects.fields import MAX_INTEGER
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import HistoryOut
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS)


@router.get("/v1/chat/{chatId}/history")
async def get_history(
    chatId: str,  # noqa: N803 - the API's own name
    caller: CallerOf,
    offset: Annotated[int, Query(ge=0, le=MAX_INTEGER)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    order: Literal["asc", "desc"] = "asc",
) -> HistoryOut:
    """Read a chat's messages, oldest first; all of them, unless there are over a thousand."""
    conversation, page = await services().conversations.history(
        caller,
        ConversationId.parse(chatId),
        offset=offset,
        limit=limit,
        newest_first=order == "desc",
    )
    return codec.history(conversation, page, offset=offset, limit=limit)


handler = lambda_handler(router)
