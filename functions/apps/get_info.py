"""GET /ai/v1/info: what the app is."""

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import InfoOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.get("/ai/v1/info")
async def get_info(caller: CallerOf) -> InfoOut:
    """Tell the app's name and kind."""
    return codec.info(await services().apps.of(caller))


handler = lambda_handler(router)
