"""POST /v1/chats: begin a chat whose history the server keeps."""

from parley.bootstrap import services
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import ChatBody, ChatOut
from parley.edge.handler import lambda_handler
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS)


@router.post("/v1/chats", status_code=201)
async def create_chat(body: ChatBody, caller: CallerOf, listener: ListenerOf) -> ChatOut:
    """Begin a chat; its system prompt and model hold for all of its messages."""
    conversation = await services().conversations.create(
        caller,
        user=body.user,
        title=body.title,
        system_prompt=body.system_prompt,
        model=body.model,
        metadata=body.metadata,
        once=listener.once,
    )
    return codec.chat(conversation)


handler = lambda_handler(router)
