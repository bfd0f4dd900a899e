"""GET /v1/chat/completions: the stored completions."""

from typing import Annotated, Literal

from fastapi import Query, Request

from parley.bootstrap import services
from parley.dialects.fields import Identifier
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import METADATA_QUERY, CompletionList
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.get("/v1/chat/completions", openapi_extra={"parameters": [METADATA_QUERY]})
async def list_completions(
    *,
    request: Request,
    caller: CallerOf,
    model: Identifier | None = None,
    after: Identifier | None = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
) -> CompletionList:
    """List completions that were created with `store: true`, in order of creation."""
    page = await services().completions.list(
        caller,
        limit=limit,
        after=codec.parse_completion_id(after) if after else None,
        newest_first=order == "desc",
        model=model,
        metadata=codec.metadata_query(request.query_params),
    )
    return codec.completion_list(page)


handler = lambda_handler(router)
