"""`parley app`: the form and the prompt template of a tenant's app."""

import typer

from admin.arguments import File, TenantId, read_document
from admin.session import Session, command
from parley.dialects.admin.documents import AppDocument, app_document

app = typer.Typer(
    name="app", help="The form and the prompt template of a tenant's app.", no_args_is_help=True
)


@command(app, "show")
async def show(session: Session, tenant: TenantId) -> None:
    """Show a tenant's app as a document, which `set` takes."""
    session.screen.document(app_document(await session.admin.tenants.get_app(tenant)))


@command(app, "set")
async def set_(session: Session, tenant: TenantId, file: File) -> None:
    """Replace a tenant's app; conversations that have begun keep the old one's prompt."""
    written = read_document(file, AppDocument).read()
    await session.admin.tenants.set_app(tenant, written)
    session.screen.say(
        f"{tenant} has the app {written.name or 'without a name'} now.",
        tenant=tenant,
        app=app_document(written),
    )
