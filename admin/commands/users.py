"""`parley users`: what is stored of a person, handed out or removed on request."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from admin.arguments import TenantId, User
from admin.screen import compact
from admin.session import CommandError, Session, command

app = typer.Typer(
    name="users",
    help="What is stored of a person, handed out or removed on request.",
    no_args_is_help=True,
)


@command(app, "export")
async def export(
    session: Session,
    tenant: TenantId,
    user: User,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new file; without it, standard output."),
    ] = None,
) -> None:
    """Write all that is stored of a user, one JSON object a line."""
    lines = session.admin.people.export(tenant, user)
    if to is None:
        async for line in lines:
            session.screen.line(line)
        return
    await session.admin.tenants.get(tenant)
    try:
        with to.open("x", encoding="utf-8") as file, session.screen.progress("writing") as shown:
            written = 0
            async for line in lines:
                file.write(compact(line) + "\n")
                written += 1
                shown(1)
    except OSError as error:
        raise CommandError(f"{to} can't be written: {error.strerror}.") from error
    session.screen.say(f"{written:,} lines are in {to}.", lines=written, file=str(to))


@command(app, "delete", asks=True)
async def delete(session: Session, tenant: TenantId, user: User) -> None:
    """Remove all that is stored of a user, for good; the ledger keeps what was spent, unnamed."""
    await session.admin.tenants.get(tenant)
    session.confirm(f"Remove all that {tenant} has of {user}, for good?")
    with session.screen.progress(f"removing {user}") as shown:
        removed = await session.admin.people.delete(tenant, user, progress=shown)
    session.screen.say(
        f"{removed.conversations:,} conversations and {removed.completions:,} stored completions "
        f"of {user} are gone; {removed.ledger_lines:,} lines of the ledger name nobody now.",
        **asdict(removed),
    )
