"""POST /admin/v1/tenants/{tenant}/keys/{key}/rotate: replace an API key."""

from datetime import timedelta

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import KeyId, RotatedKeyOut, RotationBody, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/keys/{key}/rotate", status_code=201)
async def rotate_key(tenant: TenantId, key: KeyId, body: RotationBody) -> RotatedKeyOut:
    """Make a key for all that another is for, which expires after an overlap."""
    operator = administration()
    new, text, old = await operator.keys.rotate(
        tenant,
        key,
        overlap=timedelta(seconds=body.overlap_seconds),
        expires_at=body.expires_at,
    )
    return codec.rotated_key(new, text, old, operator.clock.now())
