"""GET /v1/chat/completions/{completion_id}: a stored completion."""

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.get("/v1/chat/completions/{completion_id}")
async def get_completion(completion_id: str, caller: CallerOf) -> CompletionOut:
    """Show a completion that was created with `store: true`."""
    kept = await services().completions.get(caller, codec.parse_completion_id(completion_id))
    return codec.stored_completion(kept)


handler = lambda_handler(router)
