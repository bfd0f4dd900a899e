"""GET /admin/v1/usage: what was used, by whom and when."""

from datetime import date
from typing import Annotated

from pydantic import Field

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import ReportOut
from parley.edge.routing import operator_routes_of
from parley.services.administration.reports import DAYS, GROUPS

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/usage")
async def get_usage(
    tenant: Annotated[str | None, Field(description="Without it, all of them.")] = None,
    by: Annotated[str, Field(description=f"Any of {', '.join(GROUPS)}.")] = "tenant,model",
    since: Annotated[
        date | None, Field(description=f"In UTC; {DAYS} days up to the last, if left out.")
    ] = None,
    until: Annotated[date | None, Field(description="Included; today, if left out.")] = None,
) -> ReportOut:
    """Report what was used and what it cost, by tenant, user, model, day and more."""
    report = await administration().reports.usage(
        tenant,
        groups=[group.strip() for group in by.split(",") if group.strip()],
        first=since,
        last=until,
    )
    return codec.report(report)
