"""PUT /admin/v1/tenants/{tenant}/personas/{persona}: a persona's work in progress."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.documents import PersonaDocument
from parley.dialects.admin.schema import PersonaName, PersonaShown, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.put("/admin/v1/tenants/{tenant}/personas/{persona}")
async def edit_persona(
    tenant: TenantId, persona: PersonaName, body: PersonaDocument
) -> PersonaShown:
    """Replace a persona's work in progress; production doesn't notice."""
    operator = administration()
    owner = await operator.tenants.get_staying(tenant)
    found = await operator.personas.find(owner, persona)
    edited = await operator.personas.edit(owner, found.id, body.read())
    return codec.shown_persona(edited, None)
