"""`parley keys`: a tenant's API keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from admin.arguments import KeyId, LimitChanges, TenantId, duration, limit_changes
from admin.session import Session, command
from parley.domain.tenants import SCOPES, ApiKey, KeyKind
from parley.services.administration.changes import limits_document
from parley.services.administration.keys import status
from parley.services.credentials import CACHE_SECONDS

app = typer.Typer(name="keys", help="A tenant's API keys.", no_args_is_help=True)

ONCE = "Keep the key now: it can't be shown again."
"""What is said beside the text of a new key."""

ExpiresIn = Annotated[
    timedelta | None,
    typer.Option(metavar="TIME", parser=duration, help="Such as 90d; never, if left out."),
]


OnlyKey = Annotated[bool, typer.Option("--only-key", help="Say nothing but the new key.")]


@command(app, "create")
async def create(
    session: Session,
    tenant: TenantId,
    *,
    kind: Annotated[
        KeyKind, typer.Option(help="`test` keys select personas by id and in progress, too.")
    ] = KeyKind.TEST,
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"One API it is for, of {', '.join(SCOPES)}; repeat it for more."),
    ] = None,
    persona: Annotated[
        str | None, typer.Option(help="The alias of the one that answers where none is named.")
    ] = None,
    expires_in: ExpiresIn = None,
    only_key: OnlyKey = False,
) -> None:
    """Make a key, for all APIs unless scopes are given."""
    key, text = await session.admin.keys.create(
        tenant,
        kind,
        scopes=frozenset(scope) if scope else None,
        default_persona=persona,
        expires_at=_from_now(expires_in),
    )
    _tell(session, text, facts_of(key), only_key=only_key)


@command(app, "list")
async def list_(session: Session, tenant: TenantId) -> None:
    """List a tenant's keys, of which nobody can read the texts."""
    keys = await session.admin.keys.list(tenant)
    session.screen.rows(
        {
            "id": "key",
            "kind": "kind",
            "status": "status",
            "scopes": "for",
            "default_persona": "persona",
            "created_at": "created",
            "expires_at": "expires",
        },
        [facts_of(key) for key in keys],
        empty=f"{tenant} has no keys.",
    )


@command(app, "rotate")
async def rotate(
    session: Session,
    tenant: TenantId,
    key: KeyId,
    *,
    overlap: Annotated[
        timedelta,
        typer.Option(metavar="TIME", parser=duration, help="How long the old one stays valid."),
    ] = "24h",  # type: ignore[assignment]  # typer parses defaults, too
    expires_in: ExpiresIn = None,
    only_key: OnlyKey = False,
) -> None:
    """Make a key for all that another is for, and let the other expire.

    The new one lives as long as the old one was meant to, unless --expires-in says otherwise.
    """
    new, text, old = await session.admin.keys.rotate(
        tenant, key, overlap=overlap, expires_at=_from_now(expires_in)
    )
    replaced = {"replaces": old.id, "replaced_key_expires_at": old.expires_at}
    _tell(session, text, facts_of(new) | replaced, only_key=only_key)


@command(app, "limits")
async def limits(
    session: Session, tenant: TenantId, key: KeyId, changes: LimitChanges = None
) -> None:
    """Change some of a key's own limits, within those of its tenant, or show them all."""
    if changes:
        found = await session.admin.keys.set_limits(tenant, key, limit_changes(changes))
    else:
        found = await session.admin.keys.get(tenant, key)
    session.screen.facts(limits_document(found.limits))


@command(app, "revoke", asks=True)
async def revoke(session: Session, tenant: TenantId, key: KeyId) -> None:
    """Refuse a key from now on, and every token that was issued with it."""
    session.confirm(f"Refuse {key} of {tenant} for good?")
    revoked = await session.admin.keys.revoke(tenant, key)
    session.screen.say(
        f"{key} is revoked, everywhere within {CACHE_SECONDS:.0f} seconds.", **facts_of(revoked)
    )


def _tell(session: Session, text: str, facts: dict[str, Any], *, only_key: bool) -> None:
    if only_key:
        typer.echo(text)
    else:
        session.screen.facts({"key": text} | facts)
        session.screen.remark(ONCE)


def facts_of(key: ApiKey) -> dict[str, Any]:
    """What there is to know of a key."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "kind": key.kind.value,
        "status": status(key, datetime.now(UTC)),
        "scopes": "everything" if key.scopes is None else sorted(key.scopes),
        "default_persona": key.default_persona,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "replaced_by": key.replaced_by,
        "limits": limits_document(key.limits),
    }


def _from_now(after: timedelta | None) -> datetime | None:
    return None if after is None else datetime.now(UTC) + after
