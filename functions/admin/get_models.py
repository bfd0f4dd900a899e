"""GET /admin/v1/tenants/{tenant}/models: where a tenant's model names lead."""

from typing import Any

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN
from parley.dialects.admin.schema import TenantId
from parley.edge.routing import operator_routes_of
from parley.services.route_files import routes_document

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/models")
async def get_models(tenant: TenantId) -> dict[str, Any]:
    """Show a tenant's model routes as a document, which `PUT` takes."""
    return routes_document((await administration().tenants.get(tenant)).models)
