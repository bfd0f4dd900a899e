"""DELETE /ai/v1/conversations/{conversation_id}: remove a conversation."""

from parley.bootstrap import services
from parley.dialects.apps import APPS
from parley.dialects.apps.schema import OptionalUserBody, ResultOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.delete("/ai/v1/conversations/{conversation_id}")
async def delete_conversation(
    conversation_id: str, caller: CallerOf, body: OptionalUserBody | None = None
) -> ResultOut:
    """Remove a conversation with all that was said in it; there is no way back."""
    caller = caller.acting_for(body.user if body else None)
    conversation = await services().apps.find(caller, conversation_id)
    await services().conversations.delete(caller, conversation)
    return ResultOut()


handler = lambda_handler(router)
