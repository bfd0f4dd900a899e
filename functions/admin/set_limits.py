"""PATCH /admin/v1/tenants/{tenant}/limits: what a tenant may use."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import LimitsBody, TenantId, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.patch("/admin/v1/tenants/{tenant}/limits")
async def set_limits(tenant: TenantId, body: LimitsBody) -> TenantOut:
    """Change some of a tenant's limits, or its budget; what isn't named stays as it is."""
    changes = body.model_dump(exclude_unset=True)
    return codec.tenant(await administration().tenants.set_limits(tenant, changes))
