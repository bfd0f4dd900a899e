"""`parley usage`: what was used, by whom and when."""

from datetime import date
from typing import Annotated

import typer

from admin.arguments import day
from admin.session import Session, command
from parley.services.administration.reports import DAYS, GROUPS, row_values

app = typer.Typer()


@command(app, "usage")
async def usage(
    session: Session,
    tenant: Annotated[
        str | None,
        typer.Argument(metavar="[TENANT]", show_default=False, help="Without it, all of them."),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="GROUP,...", help=f"Any of {', '.join(GROUPS)}.")
    ] = "tenant,model",
    since: Annotated[
        date | None,
        typer.Option(metavar="DAY", parser=day, help=f"In UTC; {DAYS} days ago, if left out."),
    ] = None,
    until: Annotated[
        date | None,
        typer.Option(metavar="DAY", parser=day, help="Included; today, if left out."),
    ] = None,
) -> None:
    """Report what was used, by tenant, user, model, day and more."""
    report = await session.admin.reports.usage(
        tenant,
        groups=[group.strip() for group in by.split(",") if group.strip()],
        first=since,
        last=until,
    )
    rows = [
        dict(zip(report.groups, row.labels, strict=True)) | row_values(row) for row in report.rows
    ]
    session.screen.report(
        {
            "since": report.first,
            "until": report.last,
            "rows": rows,
            "total": row_values(report.total),
        },
        report.groups,
    )
