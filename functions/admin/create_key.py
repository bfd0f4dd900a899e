"""POST /admin/v1/tenants/{tenant}/keys: make an API key."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import KeyBody, NewKeyOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/keys", status_code=201)
async def create_key(tenant: TenantId, body: KeyBody) -> NewKeyOut:
    """Make a key, for all APIs unless scopes are named; its text is in this reply alone."""
    operator = administration()
    key, text = await operator.keys.create(
        tenant,
        body.kind,
        scopes=None if body.scopes is None else frozenset(body.scopes),
        default_persona=body.default_persona,
        expires_at=body.expires_at,
    )
    return codec.new_key(key, text, operator.clock.now())
