"""GET /admin/v1/tenants/{tenant}/keys: a tenant's API keys."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import KeyList, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/keys")
async def list_keys(tenant: TenantId) -> KeyList:
    """List a tenant's keys, oldest first and without their texts, refused ones included."""
    operator = administration()
    now = operator.clock.now()
    return KeyList(keys=[codec.key(key, now) for key in await operator.keys.list(tenant)])
