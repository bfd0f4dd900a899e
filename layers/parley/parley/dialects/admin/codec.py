"""What an operator has asked for, as the admin API shows it."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from parley.dialects.admin.documents import persona_document
from parley.dialects.admin.schema import (
    MAX_ROWS,
    CatalogueOut,
    ConversationOut,
    ConversationPage,
    KeyOut,
    NewKeyOut,
    PersonaOut,
    PersonaShown,
    RemovedOut,
    ReportOut,
    RotatedKeyOut,
    TenantOut,
    TenantPage,
)
from parley.domain.catalogue import CatalogueHead
from parley.domain.conversations import Conversation, Page
from parley.domain.errors import InvalidRequest, NotFound
from parley.domain.personas import Persona, PersonaVersion
from parley.domain.tenants import ApiKey, Tenant
from parley.services.administration import keys, tenants
from parley.services.administration.changes import BUDGET, limits_document
from parley.services.administration.people import Bookmark, Line, Removed
from parley.services.administration.reports import Report, row_values

MAX_PAGE_BYTES = 5 * 1024 * 1024
"""Of an export's page as a function returns it: text within JSON, of which Lambda takes 6 MB."""


def tenant(of: Tenant) -> TenantOut:
    """One tenant."""
    budget = None if of.budget is None else format(of.budget, "f")
    return TenantOut(
        id=of.id,
        status=tenants.status(of),
        since=tenants.since(of),
        created_at=of.created_at,
        limits=limits_document(of.limits) | {BUDGET: budget},
        turns=asdict(of.turns),
        origins=sorted(of.origins),
        models=list(of.models),
    )


def tenant_page(several: Sequence[Tenant], *, after: str, limit: int) -> TenantPage:
    """A page of the tenants, which are ordered by id."""
    rest = [each for each in several if each.id > after]
    return TenantPage(tenants=[tenant(each) for each in rest[:limit]], has_more=len(rest) > limit)


def key(of: ApiKey, now: datetime) -> KeyOut:
    """A key, without its text."""
    return KeyOut(**_key_facts(of, now))


def new_key(of: ApiKey, text: str, now: datetime) -> NewKeyOut:
    """A key that was just made."""
    return NewKeyOut(**_key_facts(of, now), key=text)


def rotated_key(of: ApiKey, text: str, old: ApiKey, now: datetime) -> RotatedKeyOut:
    """A key that was just made in another's place."""
    return RotatedKeyOut(**_key_facts(of, now), key=text, replaces=key(old, now))


def _key_facts(of: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": of.id,
        "tenant": of.tenant,
        "kind": of.kind,
        "status": keys.status(of, now),
        "scopes": None if of.scopes is None else sorted(of.scopes),
        "default_persona": of.default_persona,
        "created_at": of.created_at,
        "expires_at": of.expires_at,
        "revoked_at": of.revoked_at,
        "replaced_by": of.replaced_by,
        "limits": limits_document(of.limits),
    }


def persona(of: Persona, *, production: int | None = None) -> PersonaOut:
    """A persona without its content.

    Args:
        production: the version that has just been put into production.
    """
    return PersonaOut(**_persona_facts(of) | ({"production": production} if production else {}))


def shown_persona(of: Persona, version: PersonaVersion | None) -> PersonaShown:
    """A persona with a version of it, or with the work in progress."""
    content = of.next if version is None else version.content
    return PersonaShown(
        **_persona_facts(of),
        version=version and version.number,
        content=persona_document(content),
    )


def _persona_facts(of: Persona) -> dict[str, Any]:
    return {
        "id": of.id,
        "tenant": of.tenant,
        "alias": of.alias,
        "production": of.latest or None,
        "created_at": of.created_at,
        "updated_at": of.updated_at,
    }


def catalogue(tenant_id: str, head: CatalogueHead | None) -> CatalogueOut:
    """A tenant's catalogue.

    Raises:
        NotFound: it has none.
    """
    if head is None:
        raise NotFound(f"{tenant_id} has no catalogue.", param="tenant")
    return CatalogueOut(tenant=tenant_id, **asdict(head))


def conversations(page: Page[Conversation]) -> ConversationPage:
    """A page of a user's conversations."""
    return ConversationPage(
        conversations=[
            ConversationOut(
                id=str(each.id),
                number=each.id.number,
                user=each.user,
                title=each.title,
                model=each.model,
                message_count=each.message_count,
                created_at=each.created_at,
                updated_at=each.updated_at,
            )
            for each in page.items
        ],
        has_more=page.has_more,
    )


def removed(tenant_id: str, what: Removed) -> RemovedOut:
    """What was removed of a user's data."""
    return RemovedOut(tenant=tenant_id, **asdict(what))


def report(of: Report) -> ReportOut:
    """A report.

    Raises:
        InvalidRequest: it has more rows than a reply can.
    """
    if len(of.rows) > MAX_ROWS:
        raise InvalidRequest(
            f"The report has {len(of.rows)} rows, and a reply has {MAX_ROWS} at most: "
            "ask for fewer days, or group by less.",
            param="by",
        )
    return ReportOut(
        since=of.first,
        until=of.last,
        rows=[dict(zip(of.groups, row.labels, strict=True)) | row_values(row) for row in of.rows],
        total=row_values(of.total),
    )


async def export_page(lines: AsyncIterator[Line]) -> tuple[str, Bookmark | None]:
    """As many lines of an export as a reply can have, and where the next page begins.

    A line that is too long by itself is told as `omitted`, with what it was and its size.

    Returns:
        The lines, one JSON object each, and None at the end of the export.
    """
    page: list[str] = []
    size = 0
    last: Line | None = None
    async for line in lines:
        written = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
        needed = _size_within_json(written)
        if needed > MAX_PAGE_BYTES:
            written = json.dumps(_omitted(line, len(written.encode()))) + "\n"
            needed = _size_within_json(written)
        if size + needed > MAX_PAGE_BYTES:
            return "".join(page), Bookmark.at(last) if last else None
        page.append(written)
        size += needed
        last = line
    return "".join(page), None


def _omitted(line: Line, size: int) -> Line:
    return {
        "type": "omitted",
        "of": line["type"],
        "id": line["id"],
        "bytes": size,
        "reason": "It doesn't fit a reply; the operator's program exports it.",
    }


def _size_within_json(text: str) -> int:
    """Bytes that a text takes within a function's reply, at most: all but ASCII is escaped."""
    return len(json.dumps(text))
