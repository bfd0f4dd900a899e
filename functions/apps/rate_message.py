"""POST /ai/v1/messages/{message_id}/feedbacks: say what one thinks of an answer."""

from parley.bootstrap import services
from parley.dialects.apps import APPS, codec
from parley.dialects.apps.schema import FeedbackBody, FeedbackOut
from parley.domain.conversations import Rating
from parley.domain.ids import MessageId
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(APPS)


@router.post("/ai/v1/messages/{message_id}/feedbacks")
async def rate_message(message_id: str, body: FeedbackBody, caller: CallerOf) -> FeedbackOut:
    """Like or dislike an answer; null takes it back."""
    exchange = await services().apps.rate(
        caller.acting_for(body.user),
        MessageId.parse(message_id),
        Rating(body.rating) if body.rating else None,
    )
    return codec.rated(exchange)


handler = lambda_handler(router)
