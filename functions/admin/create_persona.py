"""POST /admin/v1/tenants/{tenant}/personas: make a persona."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import PersonaBody, PersonaOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.post("/admin/v1/tenants/{tenant}/personas", status_code=201)
async def create_persona(tenant: TenantId, body: PersonaBody) -> PersonaOut:
    """Make a persona, of which nothing is in production before it is submitted."""
    operator = administration()
    owner = await operator.tenants.get_staying(tenant)
    content = body.content.read()
    return codec.persona(await operator.personas.create(owner, alias=body.alias, content=content))
