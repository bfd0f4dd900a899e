"""GET /health: whether functions run at all; nothing else is asked."""

from parley.dialects.health import HEALTH
from parley.dialects.health.schema import Alive
from parley.edge.handler import lambda_handler
from parley.edge.routing import public_routes_of

router = public_routes_of(HEALTH, is_told=True)


@router.get("/health")
async def get_health() -> Alive:
    """Answer, for whoever wants to know that somebody does."""
    return Alive()


handler = lambda_handler(router)
