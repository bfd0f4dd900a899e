"""`parley conversations`: what a user has talked about."""

from typing import Annotated

import typer

from admin.arguments import TenantId, User
from admin.session import Session, command
from parley.domain.ids import ConversationId
from parley.services.administration.people import conversation_line

app = typer.Typer(name="conversations", help="What a user has talked about.", no_args_is_help=True)


@command(app, "list")
async def list_(
    session: Session,
    tenant: TenantId,
    user: User,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin behind this conversation.")
    ] = None,
) -> None:
    """List a user's conversations, newest first."""
    page = await session.admin.people.conversations(
        tenant, user, limit=limit, after=ConversationId.parse(after) if after else None
    )
    rows = [
        conversation_line(each) | {"created_at": each.created_at, "updated_at": each.updated_at}
        for each in page.items
    ]
    session.screen.rows(
        {
            "id": "conversation",
            "title": "title",
            "message_count": "messages",
            "created_at": "begun",
            "updated_at": "last",
        },
        rows,
        empty=f"{user} has no conversations with {tenant}.",
    )
    if page.has_more:
        session.screen.remark(f"There are more: --after {page.items[-1].id}")
