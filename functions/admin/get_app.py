"""GET /admin/v1/tenants/{tenant}/app: the form and the prompt template of a tenant's app."""

from typing import Any

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN
from parley.dialects.admin.documents import app_document
from parley.dialects.admin.schema import TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/app")
async def get_app(tenant: TenantId) -> dict[str, Any]:
    """Show a tenant's app as a document, which `PUT` takes."""
    return app_document(await administration().tenants.get_app(tenant))
