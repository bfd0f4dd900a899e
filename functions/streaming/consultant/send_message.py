"""POST /api/v1/chat: ask the consultant and get the whole answer."""

from parley.bootstrap_search import consultant
from parley.dialects.consultant import CONSULTANT, codec
from parley.dialects.consultant.schema import AnswerOut, BlockingQuestionBody
from parley.domain.ids import ConversationId
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of

router = routes_of(CONSULTANT, begins_turns=True)


@router.post("/api/v1/chat")
@router.post("/v1/chat")
async def send_message(
    body: BlockingQuestionBody, caller: CallerOf, listener: ListenerOf
) -> AnswerOut:
    """Find products for a message and answer it, in a new chat or an earlier one."""
    turn = await consultant().ask(
        caller.acting_for(body.user_id) if body.user_id else caller,
        dialect=CONSULTANT.name,
        message=body.message,
        chat=None if body.chat_id is None else ConversationId.from_number(body.chat_id),
        telling={},
        once=listener.once,
    )
    return codec.answer(await listener.reply(turn))
