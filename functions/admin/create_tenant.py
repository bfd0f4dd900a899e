"""POST /admin/v1/tenants: take on a tenant."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantBody, TenantOut
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants", status_code=201)
async def create_tenant(body: TenantBody) -> TenantOut:
    """Take on a tenant, which has the default limits, and no models and no keys yet."""
    return codec.tenant(await administration().tenants.create(body.id))
