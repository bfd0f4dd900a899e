"""Turns and messages as the consultant API shows them."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from parley.dialects.consultant.errors import describe
from parley.dialects.consultant.schema import AnswerOut, MessageOut
from parley.domain.conversations import Message, Role
from parley.domain.turns import Failed, Finished, TextDelta
from parley.services.turns import Turn


def answer(reply: Message) -> AnswerOut:
    """A settled reply."""
    return AnswerOut(
        chat_id=reply.id.conversation.number,
        message_id=reply.id.number,
        response=reply.text,
        product_ids=list(reply.product_ids),
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
    )


async def events(turn: Turn) -> AsyncGenerator[bytes, None]:
    """A turn as server-sent events: the products, the text, then the end or an error."""
    yield _event("products", {"product_ids": list(turn.reply.product_ids)})
    async with aclosing(turn.events()) as happening:
        async for event in happening:
            match event:
                case TextDelta(text):
                    yield _event("text", {"content": text})
                case Finished(reply):
                    ids = {"message_id": reply.id.number, "chat_id": reply.id.conversation.number}
                    yield _event("done", ids)
                case Failed(_, error):
                    yield _event("error", describe(error))


def _event(kind: str, data: dict[str, Any]) -> bytes:
    """One event on one line, spaced as the API's documentation has it."""
    return f"data: {json.dumps({'type': kind, 'data': data}, ensure_ascii=False)}\n\n".encode()
