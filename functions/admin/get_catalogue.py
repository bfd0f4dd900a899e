"""GET /admin/v1/tenants/{tenant}/catalogue: which catalogue a tenant has."""

from parley.bootstrap_admin import administration
from parley.bootstrap_search import catalogues
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import CatalogueOut, TenantId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/catalogue")
async def get_catalogue(tenant: TenantId) -> CatalogueOut:
    """Show which version of its catalogue a tenant has, and how many products are in it."""
    await administration().tenants.get(tenant)
    return codec.catalogue(tenant, await catalogues().head(tenant))
