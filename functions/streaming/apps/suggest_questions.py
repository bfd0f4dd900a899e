"""GET /ai/v1/messages/{message_id}/suggested: what a user could ask next."""

from parley.bootstrap import services
from parley.dialects.apps import APPS
from parley.dialects.apps.schema import SuggestedOut
from parley.dialects.fields import Identifier
from parley.domain.ids import MessageId
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS, begins_turns=True)


@router.get("/ai/v1/messages/{message_id}/suggested")
async def suggest_questions(message_id: str, caller: CallerOf, user: Identifier) -> SuggestedOut:
    """Ask the model for up to three questions that could follow an answer."""
    questions = await services().apps.suggest(
        caller.acting_for(user), MessageId.parse(message_id), dialect=APPS.name
    )
    return SuggestedOut(data=questions)
