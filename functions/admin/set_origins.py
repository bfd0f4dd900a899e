"""PUT /admin/v1/tenants/{tenant}/origins: whose web pages may use a tenant's keys."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import OriginsBody, TenantId, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.put("/admin/v1/tenants/{tenant}/origins")
async def set_origins(tenant: TenantId, body: OriginsBody) -> TenantOut:
    """Replace the origins of web pages that may read what a tenant's keys get.

    The deployment's own list, `AllowedOrigins`, has to allow them, too.
    """
    return codec.tenant(await administration().tenants.set_origins(tenant, body.origins))
