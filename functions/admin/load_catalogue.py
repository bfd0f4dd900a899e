"""PUT /admin/v1/tenants/{tenant}/catalogue: what a tenant's consultant recommends."""

from parley.bootstrap_admin import administration
from parley.bootstrap_search import catalogues, embedder
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import CatalogueBody, CatalogueOut, TenantId
from parley.edge.routing import operator_routes_of
from parley.services.catalogues import Catalogues

router = operator_routes_of(ADMIN)


@router.put("/admin/v1/tenants/{tenant}/catalogue")
async def load_catalogue(tenant: TenantId, body: CatalogueBody) -> CatalogueOut:
    """Replace a tenant's catalogue as a whole; readers see the old one or the new.

    Every product has to be read by the search model, so a request takes up to 200 of them. The
    operator's program loads larger ones.
    """
    operator = administration()
    await operator.tenants.get_staying(tenant)
    loading = Catalogues(catalogues(), embedder(), operator.ids)
    await loading.replace(tenant, body.read(), progress=lambda *_: None)
    return codec.catalogue(tenant, await catalogues().head(tenant))
