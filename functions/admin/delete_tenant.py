"""DELETE /admin/v1/tenants/{tenant}: remove a tenant with all that it has."""

from starlette.responses import Response

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantId, TenantOut
from parley.edge.routing import operator_routes_of
from parley.services.administration.tenants import SETTLED

router = operator_routes_of(ADMIN)


@router.delete("/admin/v1/tenants/{tenant}", status_code=202)
async def delete_tenant(tenant: TenantId, response: Response) -> TenantOut:
    """Refuse a tenant's credentials for good, and begin to remove all that it has.

    That goes on behind this reply, for minutes where much is stored. The tenant is `deleting` for
    as long as it takes, and 404 afterwards; repeated, the request has it begun once more.
    """
    operator = administration()
    doomed = await operator.tenants.begin_deletion(tenant)
    await operator.errands.erase(tenant)
    response.headers["retry-after"] = str(SETTLED.seconds)
    return codec.tenant(doomed)
