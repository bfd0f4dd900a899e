"""`parley models`: where a tenant's model names lead."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from admin.arguments import RoutesFile, TenantId, read_text
from admin.session import CommandError, Session, command
from parley.services.credentials import CACHE_SECONDS
from parley.services.route_files import WrongRoutes, routes_document

app = typer.Typer(name="models", help="Where a tenant's model names lead.", no_args_is_help=True)


@command(app, "show")
async def show(session: Session, tenant: TenantId) -> None:
    """Show a tenant's model routes as a document, which `set` takes."""
    found = await session.admin.tenants.get(tenant)
    session.screen.document(routes_document(found.models))


@command(app, "set")
async def set_(
    session: Session,
    tenant: TenantId,
    file: RoutesFile,
) -> None:
    """Replace a tenant's model routes with those of a file."""
    text = read_text(file)
    try:
        changed = await session.admin.models.replace(tenant, text)
    except WrongRoutes as error:
        raise refusal(file, error) from error
    routes = {name: [route.label for route in changed.routes(name)] for name in changed.models}
    told = "".join(f"\n  {name}: {', then '.join(labels)}" for name, labels in routes.items())
    session.screen.say(
        f"{tenant} has these models, everywhere within {CACHE_SECONDS:.0f} seconds:{told}",
        tenant=tenant,
        models=routes,
    )


@command(app, "key")
async def key(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", show_default=False, help="What routes say as `secret`."),
    ],
) -> None:
    """Keep the key of a server that routes lead to; it is read from standard input."""
    if sys.stdin.isatty():
        text = typer.prompt("Key", hide_input=True, err=True)
    else:
        text = sys.stdin.read()
    kept = await session.admin.models.keep_key(name, text.strip())
    session.screen.say(f"The key is kept as {kept}.", secret=name, name=kept)


def refusal(file: Path, error: WrongRoutes) -> CommandError:
    """What is told of a file whose routes are wrong."""
    mistakes = "".join(f"\n  {mistake}" for mistake in error.mistakes)
    return CommandError(f"{file} was not loaded; nothing has changed.{mistakes}")
