"""GET /v1/models: the models the caller may name."""

from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import ModelList
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.get("/v1/models")
async def list_models(caller: CallerOf) -> ModelList:
    """List the models you may use, by the names you use for them."""
    return codec.models(caller.tenant)


handler = lambda_handler(router)
