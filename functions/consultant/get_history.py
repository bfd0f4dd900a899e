"""GET /api/v1/chat/{chatId}/messages: what was said in a chat."""

from typing import Annotated

from fastapi import Query, Response

from parley.bootstrap import services
from parley.dialects.consultant import CONSULTANT, codec
from parley.dialects.consultant.schema import MessageOut
from parley.dialects.fields import MAX_INTEGER
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(CONSULTANT)


@router.get("/api/v1/chat/{chatId}/messages")
@router.get("/v1/chat/{chatId}/messages")
async def get_history(
    chatId: int,  # noqa: N803 - API Gateway allows one name at this place of a path
    caller: CallerOf,
    response: Response,
    offset: Annotated[int, Query(ge=0, le=MAX_INTEGER)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[MessageOut]:
    """Read a chat's messages, oldest first; all of them, unless there are over a thousand.

    `X-Total-Count` says how many there are.
    """
    conversation, page = await services().conversations.history(
        caller, ConversationId.from_number(chatId), offset=offset, limit=limit
    )
    response.headers["x-total-count"] = str(conversation.message_count)
    return [codec.message(stored) for stored in page.items]


handler = lambda_handler(router)
