"""POST /admin/v1/tenants/{tenant}/suspend: refuse a tenant's credentials."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantId, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/suspend")
async def suspend_tenant(tenant: TenantId) -> TenantOut:
    """Refuse a tenant's keys and tokens, everywhere within half a minute; its data stays."""
    return codec.tenant(await administration().tenants.suspend(tenant))
