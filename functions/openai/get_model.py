"""GET /v1/models/{model+}: one of the models the caller may name."""

from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import ModelOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(OPENAI)


@router.get("/v1/models/{model:path}")
async def get_model(model: str, caller: CallerOf) -> ModelOut:
    """Describe one model."""
    return codec.model(caller.tenant, model)


handler = lambda_handler(router)
