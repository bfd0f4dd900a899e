"""POST /admin/v1/tenants/{tenant}/keys/{key}/revoke: refuse an API key."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import KeyId, KeyOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/keys/{key}/revoke")
async def revoke_key(tenant: TenantId, key: KeyId) -> KeyOut:
    """Refuse a key for good, and every token issued with it, everywhere within half a minute."""
    operator = administration()
    return codec.key(await operator.keys.revoke(tenant, key), operator.clock.now())
