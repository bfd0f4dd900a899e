"""GET /ai/v1/parameters: what a client needs to show the app."""

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import ParametersOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.get("/ai/v1/parameters")
async def get_parameters(caller: CallerOf) -> ParametersOut:
    """Describe the app's form, its opening and what it offers."""
    return codec.parameters(await services().apps.of(caller))


handler = lambda_handler(router)
