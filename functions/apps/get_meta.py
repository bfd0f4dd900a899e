"""GET /ai/v1/meta: pictures of the app's tools."""

from parley.dialects.apps import APPS
from parley.dialects.apps.schema import MetaOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import routes_of

router = routes_of(APPS)


@router.get("/ai/v1/meta")
async def get_meta() -> MetaOut:
    """List the icons of the app's tools; it has none."""
    return MetaOut()


handler = lambda_handler(router)
