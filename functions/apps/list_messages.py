"""GET /ai/v1/messages: what was said in a conversation."""

from typing import Annotated

from fastapi import Query

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import MessagesOut, Reference
from parley.dialects.fields import Identifier
from parley.domain.ids import MessageId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.get("/ai/v1/messages")
async def list_messages(
    caller: CallerOf,
    user: Identifier | None = None,
    conversation_id: Reference | None = None,
    first_id: Reference | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> MessagesOut:
    """List the newest messages of a conversation, or those before `first_id`; the oldest first.

    Where no conversation is named, it is the one the user began last.
    """
    page = await services().apps.exchanges(
        caller.acting_for(user),
        conversation_id,
        before=MessageId.parse(first_id) if first_id else None,
        limit=limit,
    )
    return codec.messages(page, limit=limit)


handler = lambda_handler(router)
