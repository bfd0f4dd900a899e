"""GET /admin/v1/tenants/{tenant}: a tenant."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantId, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}")
async def get_tenant(tenant: TenantId) -> TenantOut:
    """Show a tenant with its limits and the names of its models."""
    return codec.tenant(await administration().tenants.get(tenant))
