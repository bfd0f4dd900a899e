"""DELETE /v1/chats/{chatId}: remove a chat and everything said in it."""

from parley.bootstrap import services
from parley.dialects.sessions import SESSIONS
from parley.dialects.sessions.schema import DeletedOut
from parley.domain.ids import ConversationId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS)


@router.delete("/v1/chats/{chatId}")
async def delete_chat(chatId: str, caller: CallerOf) -> DeletedOut:  # noqa: N803 - the API's own name
    """Remove a chat with all its messages; there is no way back."""
    conversation = ConversationId.parse(chatId)
    await services().conversations.delete(caller, conversation)
    return DeletedOut(id=str(conversation))


handler = lambda_handler(router)
