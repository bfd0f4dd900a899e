"""PUT /admin/v1/tenants/{tenant}/models: where a tenant's model names lead."""

from typing import Any

from starlette.requests import Request

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN
from parley.dialects.admin.schema import ROUTES_BODY, TenantId
from parley.edge.routing import operator_routes_of
from parley.services.route_files import routes_document

router = operator_routes_of(ADMIN)


@router.put("/admin/v1/tenants/{tenant}/models", openapi_extra=ROUTES_BODY)
async def set_models(tenant: TenantId, request: Request) -> dict[str, Any]:
    """Replace a tenant's model routes; a wrong document changes nothing.

    Its mistakes are told by line: the document is read as it was written.
    """
    text = (await request.body()).decode()
    return routes_document((await administration().models.replace(tenant, text)).models)
