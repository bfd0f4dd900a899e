"""GET /admin/v1/tenants/{tenant}/personas: a tenant's personas."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import PersonaList, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/personas")
async def list_personas(tenant: TenantId) -> PersonaList:
    """List a tenant's personas, without their contents."""
    operator = administration()
    owner = await operator.tenants.get(tenant)
    personas = await operator.personas.list(owner)
    return PersonaList(personas=[codec.persona(persona) for persona in personas])
