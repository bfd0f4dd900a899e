"""`parley personas`: who answers, in versions."""

from typing import Annotated, Any

import typer

from admin.arguments import File, PersonaName, TenantId, read_document
from admin.session import Session, command
from parley.dialects.admin.documents import PersonaDocument, persona_document
from parley.domain.personas import Persona

app = typer.Typer(name="personas", help="Who answers, in versions.", no_args_is_help=True)


@command(app, "create")
async def create(
    session: Session,
    tenant: TenantId,
    alias: Annotated[
        str,
        typer.Argument(metavar="ALIAS", show_default=False, help="What callers name it by."),
    ],
    file: File,
) -> None:
    """Make a persona, of which nothing is in production before it is submitted."""
    content = read_document(file, PersonaDocument).read()
    owner = await session.admin.tenants.get_staying(tenant)
    persona = await session.admin.personas.create(owner, alias=alias, content=content)
    session.screen.say(
        f"{alias} is persona {persona.id} of {tenant}; nothing of it is in production yet.",
        **facts_of(persona),
    )


@command(app, "list")
async def list_(session: Session, tenant: TenantId) -> None:
    """List a tenant's personas."""
    owner = await session.admin.tenants.get(tenant)
    personas = await session.admin.personas.list(owner)
    session.screen.rows(
        {
            "id": "persona",
            "alias": "alias",
            "name": "name",
            "production": "in production",
            "updated_at": "changed",
        },
        [facts_of(persona) | {"name": persona.next.name} for persona in personas],
        empty=f"{tenant} has no personas.",
    )


@command(app, "show")
async def show(
    session: Session,
    tenant: TenantId,
    persona: PersonaName,
    version: Annotated[
        int | None, typer.Option(help="A submitted one; without it the work in progress.")
    ] = None,
) -> None:
    """Show a persona as a document, which `edit` takes."""
    owner = await session.admin.tenants.get(tenant)
    found = await session.admin.personas.find(owner, persona)
    content = found.next
    if version is not None:
        content = (await session.admin.personas.get_version(owner, found.id, version)).content
    session.screen.document(persona_document(content))


@command(app, "edit")
async def edit(session: Session, tenant: TenantId, persona: PersonaName, file: File) -> None:
    """Replace the work in progress; production doesn't notice."""
    content = read_document(file, PersonaDocument).read()
    owner = await session.admin.tenants.get_staying(tenant)
    found = await session.admin.personas.find(owner, persona)
    edited = await session.admin.personas.edit(owner, found.id, content)
    session.screen.say(f"The work in progress of {edited.alias} is changed.", **facts_of(edited))


@command(app, "submit")
async def submit(session: Session, tenant: TenantId, persona: PersonaName) -> None:
    """Put the work in progress into production, as the next version."""
    owner = await session.admin.tenants.get_staying(tenant)
    found = await session.admin.personas.find(owner, persona)
    version = await session.admin.personas.submit(owner, found.id)
    session.screen.say(
        f"Version {version.number} of {found.alias} is in production.",
        **facts_of(found) | {"production": version.number},
    )


@command(app, "rollback")
async def rollback(
    session: Session,
    tenant: TenantId,
    persona: PersonaName,
    to: Annotated[int, typer.Option(metavar="NUMBER", help="The version to go back to.")],
) -> None:
    """Put an earlier version into production again, under a new number."""
    owner = await session.admin.tenants.get_staying(tenant)
    found = await session.admin.personas.find(owner, persona)
    version = await session.admin.personas.roll_back(owner, found.id, to)
    session.screen.say(
        f"Version {version.number} of {found.alias}, the same as {to}, is in production.",
        **facts_of(found) | {"production": version.number},
    )


def facts_of(persona: Persona) -> dict[str, Any]:
    """What there is to know of a persona besides its content."""
    return {
        "id": persona.id,
        "tenant": persona.tenant,
        "alias": persona.alias,
        "production": persona.latest or None,
        "created_at": persona.created_at,
        "updated_at": persona.updated_at,
    }
