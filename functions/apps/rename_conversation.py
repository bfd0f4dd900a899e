"""POST /ai/v1/conversations/{conversation_id}/name: give a conversation another name."""

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import RenameBody, RenamedOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.post("/ai/v1/conversations/{conversation_id}/name")
async def rename_conversation(
    conversation_id: str, body: RenameBody, caller: CallerOf
) -> RenamedOut:
    """Rename a conversation, or name it after its first question."""
    caller = caller.acting_for(body.user)
    conversation = await services().apps.rename(caller, conversation_id, codec.new_title(body))
    return codec.renamed(conversation, await services().apps.of(caller))


handler = lambda_handler(router)
