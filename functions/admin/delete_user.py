"""DELETE /admin/v1/tenants/{tenant}/user-data: remove all that is stored of a user."""

import asyncio

from starlette.responses import Response

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import RemovedOut, TenantId, UnfinishedOut, User
from parley.edge.routing import operator_routes_of

PATIENCE_SECONDS = 20
"""How long a request tries; API Gateway waits for 29."""

router = operator_routes_of(ADMIN)


@router.delete(
    "/admin/v1/tenants/{tenant}/user-data",
    responses={202: {"model": UnfinishedOut, "description": "It goes on."}},
)
async def delete_user(
    tenant: TenantId, user: User, response: Response
) -> RemovedOut | UnfinishedOut:
    """Remove all that is stored of a user; the ledger keeps what was spent, unnamed.

    202 says that there is more than a request can remove: it goes on behind this reply, and the
    same request, repeated, is answered with 200 once nothing is left.
    """
    operator = administration()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return codec.removed(tenant, await operator.people.delete(tenant, user))
    except TimeoutError:
        await operator.errands.erase(tenant, user)
    response.status_code = 202
    response.headers["retry-after"] = "60"
    return UnfinishedOut(tenant=tenant)
