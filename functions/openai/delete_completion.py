"""DELETE /v1/chat/completions/{completion_id}: remove a stored completion."""

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionDeleted
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.delete("/v1/chat/completions/{completion_id}")
async def delete_completion(completion_id: str, caller: CallerOf) -> CompletionDeleted:
    """Remove a stored completion; there is no way back."""
    completion = codec.parse_completion_id(completion_id)
    await services().completions.delete(caller, completion)
    return CompletionDeleted(id=codec.completion_id(completion))


handler = lambda_handler(router)
