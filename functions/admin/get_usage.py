"""GET /admin/v1/usage: what was used, by whom and when."""

from datetime import UTC, date, timedelta
from typing import Annotated

from pydantic import Field

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import ReportOut
from parley.edge.routing import operator_routes_of
from parley.services.administration.reports import GROUPS

DAYS = 30

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/usage")
async def get_usage(
    tenant: Annotated[str | None, Field(description="Without it, all of them.")] = None,
    by: Annotated[str, Field(description=f"Any of {', '.join(GROUPS)}.")] = "tenant,model",
    since: Annotated[date | None, Field(description="In UTC; 30 days before the last.")] = None,
    until: Annotated[date | None, Field(description="Included; today, if left out.")] = None,
) -> ReportOut:
    """Report what was used and what it cost, by tenant, user, model, day and more."""
    operator = administration()
    last = until or operator.clock.now().astimezone(UTC).date()
    report = await operator.reports.usage(
        tenant,
        first=since or last - timedelta(days=DAYS - 1),
        last=last,
        groups=[group.strip() for group in by.split(",") if group.strip()],
    )
    return codec.report(report)
