"""POST /api/v1/chats: begin a chat for one of the tenant's users."""

from parley.bootstrap import services
from parley.dialects.tenant import TENANT, codec
from parley.dialects.tenant.schema import ChatBody, ChatOut
from parley.edge.handler import lambda_handler
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(TENANT)


@router.post("/api/v1/chats", status_code=201)
async def create_chat(body: ChatBody, caller: CallerOf, listener: ListenerOf) -> ChatOut:
    """Begin a chat of a user; its system prompt and model hold for all of its messages."""
    conversation = await services().conversations.create(
        caller,
        user=body.user_id,
        title=body.title,
        system_prompt=body.system_prompt,
        model=body.model,
        metadata=body.metadata,
        once=listener.once,
    )
    return codec.chat(conversation)


handler = lambda_handler(router)
