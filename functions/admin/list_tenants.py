"""GET /admin/v1/tenants: the customers of the deployment."""

from typing import Annotated

from pydantic import Field

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import TenantPage
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants")
async def list_tenants(
    after: Annotated[str, Field(max_length=64, description="Begin behind this tenant.")] = "",
    limit: Annotated[int, Field(ge=1, le=1000)] = 100,
) -> TenantPage:
    """List the tenants by id, those being removed included."""
    tenants = await administration().tenants.list()
    return codec.tenant_page(tenants, after=after, limit=limit)
