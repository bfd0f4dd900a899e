"""POST /ai/v1/chat-messages/{task_id}/stop: end an answer that is under way."""

from parley.bootstrap import services
from parley.dialects.apps import APPS
from parley.dialects.apps.schema import ResultOut, UserBody
from parley.domain.ids import MessageId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.post("/ai/v1/chat-messages/{task_id}/stop")
async def stop_message(task_id: str, body: UserBody, caller: CallerOf) -> ResultOut:
    """Stop an answer where it is; what was said so far is kept. One that has ended stays so."""
    await services().turns.stop(caller.acting_for(body.user), MessageId.parse(task_id))
    return ResultOut()


handler = lambda_handler(router)
