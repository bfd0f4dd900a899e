"""GET /health/ready: whether what turns need can be reached."""

from starlette.responses import Response

from parley.bootstrap_health import readiness
from parley.dialects.health import HEALTH
from parley.dialects.health.schema import Ready
from parley.edge.handler import lambda_handler
from parley.edge.routing import public_routes_of

router = public_routes_of(HEALTH, is_told=True)


@router.get("/health/ready", responses={503: {"model": Ready, "description": "Something isn't."}})
async def get_readiness(response: Response) -> Ready:
    """Ask the tables, and the model where the deployment was told what to ask, for a sign of life.

    Within two seconds, and at most every five; in between the last answer is told. 503 says which
    of them can't be reached.
    """
    checks = await readiness().check()
    is_ready = "unreachable" not in checks.values()
    response.status_code = 200 if is_ready else 503
    return Ready(status="ok" if is_ready else "unavailable", checks=dict(checks))


handler = lambda_handler(router)
