"""GET /admin/v1/tenants/{tenant}/user-data: all that is stored of a user."""

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import EXPORT, TenantId, User
from parley.edge.routing import operator_routes_of
from parley.services.administration.people import Bookmark

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/user-data", response_class=Response, responses=EXPORT)
async def export_user(
    tenant: TenantId,
    user: User,
    cursor: Annotated[
        str | None, Field(description="Of the page before, from its header `x-next-cursor`.")
    ] = None,
) -> Response:
    """Hand out all that is stored of a user, oldest first, one JSON object a line.

    A page has up to 5 MB. Where there is more, `x-next-cursor` is the next page's `cursor`; the
    last page has none.
    """
    behind = Bookmark.parse(cursor) if cursor else None
    lines = administration().people.export(tenant, user, behind=behind)
    page, ends = await codec.export_page(lines)
    headers = {"x-next-cursor": str(ends)} if ends else {}
    return Response(page, media_type="application/jsonl", headers=headers)
