"""POST /admin/v1/tenants/{tenant}/personas/{persona}/submit: put a persona into production."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import PersonaName, PersonaOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/personas/{persona}/submit")
async def submit_persona(tenant: TenantId, persona: PersonaName) -> PersonaOut:
    """Put the work in progress into production, as the next version."""
    operator = administration()
    owner = await operator.tenants.get_staying(tenant)
    found = await operator.personas.find(owner, persona)
    version = await operator.personas.submit(owner, found.id)
    return codec.persona(found, production=version.number)
