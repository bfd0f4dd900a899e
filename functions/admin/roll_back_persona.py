"""POST /admin/v1/tenants/{tenant}/personas/{persona}/rollback: go back to a version."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import PersonaName, PersonaOut, RollbackBody, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/personas/{persona}/rollback")
async def roll_back_persona(
    tenant: TenantId, persona: PersonaName, body: RollbackBody
) -> PersonaOut:
    """Put an earlier version into production again, under the next number."""
    operator = administration()
    owner = await operator.tenants.get_staying(tenant)
    found = await operator.personas.find(owner, persona)
    version = await operator.personas.roll_back(owner, found.id, body.version)
    return codec.persona(found, production=version.number)
