"""GET /v1/chat/completions/{completion_id}/messages: what a stored completion answers."""

from typing import Annotated, Literal

from fastapi import Query

from parley.bootstrap import services
from parley.dialects.fields import Identifier
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import StoredMessageList
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.get("/v1/chat/completions/{completion_id}/messages")
async def list_completion_messages(
    completion_id: str,
    caller: CallerOf,
    after: Identifier | None = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
) -> StoredMessageList:
    """List the messages of the prompt that a stored completion answers."""
    kept = await services().completions.get(caller, codec.parse_completion_id(completion_id))
    return codec.stored_messages(kept, limit=limit, after=after, newest_first=order == "desc")


handler = lambda_handler(router)
