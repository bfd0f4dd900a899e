"""POST /ai/v1/conversations/name: give the user's newest conversation another name."""

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import RenameBody, RenamedOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.post("/ai/v1/conversations/name")
async def rename_newest_conversation(body: RenameBody, caller: CallerOf) -> RenamedOut:
    """Rename the conversation that the user began last."""
    caller = caller.acting_for(body.user)
    conversation = await services().apps.rename(caller, None, codec.new_title(body))
    return codec.renamed(conversation, await services().apps.of(caller))


handler = lambda_handler(router)
