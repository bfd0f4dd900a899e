"""GET /admin/v1/tenants/{tenant}/personas/{persona}: a persona."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import Number, PersonaName, PersonaShown, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/personas/{persona}")
async def get_persona(
    tenant: TenantId, persona: PersonaName, version: Number | None = None
) -> PersonaShown:
    """Show a persona with the work in progress, or with a version that was submitted."""
    operator = administration()
    owner = await operator.tenants.get(tenant)
    found = await operator.personas.find(owner, persona)
    if version is None:
        return codec.shown_persona(found, None)
    submitted = await operator.personas.get_version(owner, found.id, version)
    return codec.shown_persona(found, submitted)
