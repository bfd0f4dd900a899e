"""GET /ai/v1/conversations: a user's conversations."""

from typing import Annotated, Literal

from fastapi import Query

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import ConversationsOut, Reference
from parley.dialects.fields import Identifier
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.get("/ai/v1/conversations")
async def list_conversations(
    caller: CallerOf,
    *,
    user: Identifier | None = None,
    last_id: Reference | None = None,
    first_id: Reference | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    sort_by: Literal["created_at", "-created_at"] = "-created_at",
) -> ConversationsOut:
    """List a user's conversations, newest first; `last_id` is the last one already seen.

    `first_id` is another name of it, which Dify's client for Node uses.
    """
    caller = caller.acting_for(user)
    page = await services().apps.conversations(
        caller, after=last_id or first_id, limit=limit, newest_first=sort_by == "-created_at"
    )
    return codec.conversations(page, await services().apps.of(caller), limit=limit)


handler = lambda_handler(router)
