"""PUT /admin/v1/tenants/{tenant}/app: the form and the prompt template of a tenant's app."""

from typing import Any

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN
from parley.dialects.admin.documents import AppDocument, app_document
from parley.dialects.admin.schema import TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.put("/admin/v1/tenants/{tenant}/app")
async def set_app(tenant: TenantId, body: AppDocument) -> dict[str, Any]:
    """Replace a tenant's app; conversations that have begun keep the old one's prompt."""
    app = body.read()
    await administration().tenants.set_app(tenant, app)
    return app_document(app)
