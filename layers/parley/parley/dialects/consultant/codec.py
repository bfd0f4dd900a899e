"""Turns and messages as the consultant API shows them."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from parley.dialects.consultant.errors import describe
from parley.dialects.consultant.schema import AnswerOut, MessageOut
from parley.dialects.wire import Telling, Wire
from parley.domain.conversations import TEXT_ONLY, Message, Role
from parley.domain.ids import MessageId
from parley.domain.turns import Failed, Finished, TextDelta
from parley.services.turns import Turn


def answer(reply: Message) -> AnswerOut:
    """A settled reply."""
    return AnswerOut(
        chat_id=reply.id.conversation.number,
        message_id=reply.id.number,
        response=reply.text,
        product_ids=list(reply.product_ids),
        status=reply.status,
        finish_reason=reply.finish_reason,
    )


def message(stored: Message) -> MessageOut:
    """One message of a chat."""
    return MessageOut(
        id=stored.id.number,
        content=stored.text,
        is_from_user=stored.role is not Role.ASSISTANT,  # results of calls are the caller's, too
        created_at=stored.created_at,
        product_ids=list(stored.product_ids),
        status=stored.status,
        finish_reason=stored.finish_reason,
    )


TELLING: Telling = {TEXT_ONLY: True}
"""What a stream is told with."""


async def _tell(turn: Turn, _telling: Telling) -> AsyncGenerator[bytes, None]:
    """A turn as server-sent events: the products, the text, then the end or an error."""
    ids = {"message_id": turn.reply.id.number, "chat_id": turn.reply.id.conversation.number}
    yield _event("products", {"product_ids": list(turn.reply.product_ids), **ids})
    async with aclosing(turn.events()) as happening:
        async for event in happening:
            match event:
                case TextDelta(text):
                    yield _event("text", {"content": text})
                case Finished(reply):
                    ended = {"status": reply.status, "finish_reason": reply.finish_reason}
                    yield _event("done", {**ids, **ended})
                case Failed(_, error):
                    yield _event("error", describe(error))


def _show_id(turn: MessageId) -> str:
    return str(turn.number)


WIRE = Wire(tell=_tell, preamble=1, longest_end=1, show_id=_show_id)


def _event(kind: str, data: dict[str, Any]) -> bytes:
    """One event on one line, spaced as the API's documentation has it."""
    return f"data: {json.dumps({'type': kind, 'data': data}, ensure_ascii=False)}\n\n".encode()
