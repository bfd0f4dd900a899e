"""GET /admin/v1/tenants/{tenant}/budget: how a tenant's budget stands."""

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN
from parley.dialects.admin.schema import BudgetOut, TenantId
from parley.edge.routing import operator_routes_of
from parley.services.administration.budgets import standing_values

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/budget")
async def get_budget(tenant: TenantId) -> BudgetOut:
    """Show how a tenant's budget stands this month; `PATCH …/limits` sets it."""
    return BudgetOut(**standing_values(await administration().budgets.standing(tenant)))
