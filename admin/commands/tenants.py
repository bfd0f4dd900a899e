"""`parley tenants`: the customers of the deployment."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from admin.arguments import (
    LimitChanges,
    RuleChanges,
    TenantId,
    limit_changes,
    read_text,
    rule_changes,
)
from admin.commands.keys import ONCE
from admin.commands.models import refusal
from admin.session import Session, command
from parley.domain.tenants import KeyKind, Tenant
from parley.services.administration.budgets import standing_values
from parley.services.administration.changes import BUDGET, limits_document
from parley.services.administration.tenants import CLOSED, since, status
from parley.services.route_files import WrongRoutes, read_routes

app = typer.Typer(name="tenants", help="The customers of the deployment.", no_args_is_help=True)

_WITHIN = f"everywhere within {CLOSED.seconds} seconds"


@command(app, "create")
async def create(
    session: Session,
    tenant: TenantId,
    models: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its model routes, as `models set` takes them."),
    ] = None,
    key: Annotated[KeyKind | None, typer.Option(help="Make a key of this kind, too.")] = None,
) -> None:
    """Take on a tenant, with the default limits."""
    text = read_text(models) if models else None
    if models and text:
        try:
            read_routes(text)  # before anything is made that would have no models
        except WrongRoutes as error:
            raise refusal(models, error) from error
    made = await session.admin.tenants.create(tenant)
    if text:
        made = await session.admin.models.replace(tenant, text)
    if key is None:
        session.screen.say(f"There is a tenant {made.id} now.", **facts_of(made))
    else:
        issued, secret = await session.admin.keys.create(tenant, key)
        told = facts_of(made) | {"key": secret, "key_id": issued.id}
        session.screen.facts(told)
        session.screen.remark(ONCE)


@command(app, "list")
async def list_(session: Session) -> None:
    """List all tenants."""
    tenants = await session.admin.tenants.list()
    session.screen.rows(
        {
            "id": "tenant",
            "status": "status",
            "since": "since",
            "models": "models",
            "created_at": "created",
        },
        [facts_of(tenant) | {"models": list(tenant.models)} for tenant in tenants],
        empty="There are no tenants.",
    )


@command(app, "show")
async def show(session: Session, tenant: TenantId) -> None:
    """Show a tenant with its limits and models."""
    session.screen.facts(facts_of(await session.admin.tenants.get(tenant)))


@command(app, "limits")
async def limits(
    session: Session,
    tenant: TenantId,
    changes: LimitChanges = None,
) -> None:
    """Change some of a tenant's limits and its monthly budget, or show them all."""
    if changes:
        found = await session.admin.tenants.set_limits(tenant, limit_changes(changes))
    else:
        found = await session.admin.tenants.get(tenant)
    session.screen.facts(limits_of(found))


@command(app, "turns")
async def turns(
    session: Session,
    tenant: TenantId,
    changes: RuleChanges = None,
) -> None:
    """Say what becomes of a tenant's turns where there is a choice, or show it.

    stored_run_on and completions_run_on: whether a turn goes on to its end when its client leaves;
    a completion that came with an idempotency key always does.
    one_at_a_time: whether a conversation refuses a turn while another isn't over.
    """
    if changes:
        found = await session.admin.tenants.set_turns(tenant, rule_changes(changes))
    else:
        found = await session.admin.tenants.get(tenant)
    session.screen.facts(asdict(found.turns))


@command(app, "origins")
async def origins(
    session: Session,
    tenant: TenantId,
    allowed: Annotated[
        list[str] | None,
        typer.Argument(metavar="ORIGIN...", help="Such as https://shop.example."),
    ] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Allow none any more.")] = False,
) -> None:
    """Say from which web pages browsers may use a tenant's keys, or show it.

    The deployment's own list, AllowedOrigins in template.yaml, comes first.
    """
    if allowed or none:
        found = await session.admin.tenants.set_origins(tenant, allowed or [])
    else:
        found = await session.admin.tenants.get(tenant)
    session.screen.facts({"origins": sorted(found.origins)})


@command(app, "budget")
async def budget(session: Session, tenant: TenantId) -> None:
    """Show how a tenant's budget stands this month; `limits` sets it."""
    session.screen.facts(standing_values(await session.admin.budgets.standing(tenant)))


@command(app, "suspend", asks=True)
async def suspend(session: Session, tenant: TenantId) -> None:
    """Refuse a tenant's keys and tokens; its data stays."""
    session.confirm(f"Refuse all keys of {tenant}?")
    found = await session.admin.tenants.suspend(tenant)
    session.screen.say(f"{tenant} is suspended, {_WITHIN}.", **facts_of(found))


@command(app, "resume")
async def resume(session: Session, tenant: TenantId) -> None:
    """Accept a suspended tenant's keys again."""
    found = await session.admin.tenants.resume(tenant)
    session.screen.say(f"{tenant} is active.", **facts_of(found))


@command(app, "delete", asks=True)
async def delete(session: Session, tenant: TenantId) -> None:
    """Remove a tenant and all its data, for good.

    Interrupted, the same command ends it. It waits for half a minute, and not at all where the
    tenant was suspended a quarter of an hour before.
    """
    await session.admin.tenants.get(tenant)
    session.confirm(
        f"Remove {tenant} with all its conversations, keys, personas and usage, for good?"
    )
    removed = 0
    with session.screen.progress(f"removing {tenant}") as shown:

        def told(more: int) -> None:
            nonlocal removed
            removed += more
            shown(more)

        await session.admin.tenants.delete(tenant, pause=asyncio.sleep, progress=told)
    session.screen.say(
        f"{tenant} is gone; {removed:,} items were removed.", tenant=tenant, removed=removed
    )


def facts_of(tenant: Tenant) -> dict[str, Any]:
    """What there is to know of a tenant."""
    return {
        "id": tenant.id,
        "status": status(tenant),
        "since": since(tenant),
        "created_at": tenant.created_at,
        "limits": limits_of(tenant),
        "turns": asdict(tenant.turns),
        "origins": sorted(tenant.origins),
        "models": list(tenant.models),
    }


def limits_of(tenant: Tenant) -> dict[str, Any]:
    """A tenant's limits with its budget, by the names they are changed by."""
    budget = None if tenant.budget is None else format(tenant.budget, "f")
    return limits_document(tenant.limits) | {BUDGET: budget}
