"""POST /admin/v1/tenants/{tenant}/resume: accept a suspended tenant's credentials again."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantId, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/resume")
async def resume_tenant(tenant: TenantId) -> TenantOut:
    """Accept a suspended tenant's keys and tokens again."""
    return codec.tenant(await administration().tenants.resume(tenant))
