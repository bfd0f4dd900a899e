"""PATCH /admin/v1/tenants/{tenant}/keys/{key}/limits: what an API key may use."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import KeyId, KeyLimitsBody, KeyOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.patch("/admin/v1/tenants/{tenant}/keys/{key}/limits")
async def set_key_limits(tenant: TenantId, key: KeyId, body: KeyLimitsBody) -> KeyOut:
    """Change some of a key's own limits, within its tenant's; what isn't named stays as it is."""
    operator = administration()
    changes = body.model_dump(exclude_unset=True)
    changed = await operator.keys.set_limits(tenant, key, changes)
    return codec.key(changed, operator.clock.now())
