"""POST /v1/chat/completions/{completion_id}: change a stored completion's metadata."""

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionOut, LabelBody
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.post("/v1/chat/completions/{completion_id}")
async def update_completion(completion_id: str, body: LabelBody, caller: CallerOf) -> CompletionOut:
    """Give a stored completion other metadata, in place of all it has."""
    kept = await services().completions.label(
        caller, codec.parse_completion_id(completion_id), body.metadata or {}
    )
    return codec.stored_completion(kept)


handler = lambda_handler(router)
