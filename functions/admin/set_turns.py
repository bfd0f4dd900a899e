"""PATCH /admin/v1/tenants/{tenant}/turns: what becomes of a tenant's turns."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantId, TenantOut, TurnRulesBody
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.patch("/admin/v1/tenants/{tenant}/turns")
async def set_turns(tenant: TenantId, body: TurnRulesBody) -> TenantOut:
    """Say what becomes of turns whose clients leave, and of two at once in one conversation."""
    changes = body.model_dump(exclude_unset=True)
    return codec.tenant(await administration().tenants.set_turns(tenant, changes))
