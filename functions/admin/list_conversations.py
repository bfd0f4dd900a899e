"""GET /admin/v1/tenants/{tenant}/conversations: what a user has talked about."""

from typing import Annotated

from pydantic import Field

from parley.bootstrap_admin import administration
from parley.dialects.admin import ADMIN, codec
from parley.dialects.admin.schema import ConversationPage, TenantId, User
from parley.domain.ids import ConversationId
from parley.edge.routing import operator_routes_of

router = operator_routes_of(ADMIN)


@router.get("/admin/v1/tenants/{tenant}/conversations")
async def list_conversations(
    tenant: TenantId,
    user: User,
    limit: Annotated[int, Field(ge=1, le=100)] = 50,
    after: Annotated[str | None, Field(description="Begin behind this conversation.")] = None,
) -> ConversationPage:
    """List a user's conversations, newest first."""
    page = await administration().people.conversations(
        tenant, user, limit=limit, after=ConversationId.parse(after) if after else None
    )
    return codec.conversations(page)
