"""Conversations, exchanges and turns as Dify's clients see them.

What they call a message is a question with its answer. It has the id of the answer, and so has the
task that makes it.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from parley.dialects.apps import errors
from parley.dialects.apps.schema import (
    AnswerOut,
    ConversationOut,
    ConversationsOut,
    FeedbackOut,
    FieldOut,
    InfoOut,
    MessageOut,
    MessagesOut,
    MetadataOut,
    ParametersOut,
    RatedOut,
    RatingOut,
    RenameBody,
    RenamedOut,
    SwitchOut,
    UsageOut,
)
from parley.dialects.wire import Telling, Wire
from parley.domain.apps import App, InputField, fill
from parley.domain.conversations import TEXT_ONLY, Conversation, Message, Page, Status, Usage
from parley.domain.errors import InvalidRequest
from parley.domain.ids import MessageId
from parley.domain.turns import Failed, Finished, TextDelta
from parley.services.apps import Exchange
from parley.services.turns import Turn

KEEP_ALIVE = b"event: ping\n\n"
"""What Dify sends while it has nothing to say."""

UNNAMED = "New chat"

_SHOWN_ID = "conversation_id"

_UNCOUNTED = Usage(prompt_tokens=0, completion_tokens=0)
"""Usage of a reply whose model wasn't there to count at its end: Dify shows zeros, too."""


def conversation_id(head: Conversation) -> str:
    """A conversation's id: where it was brought here from another system, the one it had there."""
    return head.alias or str(head.id)


def conversation(head: Conversation, app: App) -> ConversationOut:
    """One conversation."""
    return ConversationOut(
        id=conversation_id(head),
        name=head.title or UNNAMED,
        inputs=dict(head.inputs),
        introduction=fill(app.opening_statement, head.inputs),
        created_at=int(head.created_at.timestamp()),
        updated_at=int(head.updated_at.timestamp()),
    )


def new_title(body: RenameBody) -> str | None:
    """The title that a request asks for; None is one taken from the first question.

    Raises:
        InvalidRequest: it asks for neither.
    """
    if body.auto_generate:
        return None
    if body.name is None:
        raise InvalidRequest("name is required when auto_generate is false.", param="name")
    return body.name


def renamed(head: Conversation, app: App) -> RenamedOut:
    """A conversation under its new name."""
    return RenamedOut(**conversation(head, app).model_dump())


def conversations(page: Page[Conversation], app: App, *, limit: int) -> ConversationsOut:
    """A page of conversations."""
    return ConversationsOut(
        limit=limit, has_more=page.has_more, data=[conversation(head, app) for head in page.items]
    )


def messages(page: Page[Exchange], *, limit: int) -> MessagesOut:
    """A page of messages."""
    return MessagesOut(
        limit=limit, has_more=page.has_more, data=[_message(each) for each in page.items]
    )


def rated(exchange: Exchange) -> FeedbackOut:
    """A message that was just rated."""
    rating = exchange.reply.rating
    return FeedbackOut(data=[RatedOut(**_exchange(exchange), feedback=rating and rating.value)])


def answer(reply: Message, shown_id: str) -> AnswerOut:
    """A settled reply.

    Args:
        shown_id: the conversation's id as the client knows it.
    """
    return AnswerOut(
        task_id=str(reply.id),
        id=str(reply.id),
        message_id=str(reply.id),
        conversation_id=shown_id,
        answer=reply.text,
        metadata=_metadata(reply),
        created_at=int(reply.created_at.timestamp()),
        **_ended(reply),
    )


def telling(shown_id: str) -> Telling:
    """What a stream is told with.

    Args:
        shown_id: the conversation's id as the client knows it.
    """
    return {_SHOWN_ID: shown_id, TEXT_ONLY: True}


def not_streamed(_shown_id: str) -> Telling:
    """What an answer is told with that is given at once."""
    return {}


async def _tell(turn: Turn, telling: Telling) -> AsyncGenerator[bytes, None]:
    """A turn's events as server-sent ones, ended by `message_end` or `error`."""
    name = str(turn.reply.id)
    of_turn = {
        "task_id": name,
        "id": name,
        "message_id": name,
        "conversation_id": telling[_SHOWN_ID],
        "created_at": int(turn.reply.created_at.timestamp()),
    }
    # A delta's event is the same bytes around its text every time; only the text is encoded anew.
    delta = _sse({"event": "message", **of_turn, "answer": "\0"})
    before, after = delta.split(rb'"\u0000"')
    async with aclosing(turn.events()) as happened:
        async for event in happened:
            match event:
                case TextDelta(text=text):
                    yield before + _json(text) + after
                case Finished(reply):
                    metadata = _metadata(reply).model_dump()
                    # Readers of the early form look for an answer in every event.
                    end = {"event": "message_end", **of_turn, "answer": "", "metadata": metadata}
                    resources = metadata["retriever_resources"]
                    yield _sse({**end, "retriever_resources": resources, **_ended(reply)})
                case Failed(_, error):
                    yield _sse({"event": "error", **of_turn, **errors.event(error)})


WIRE = Wire(
    tell=_tell,
    preamble=0,
    longest_end=1,
    show_id=str,
    keep_alive=KEEP_ALIVE,
    numbers=False,  # Dify's clients take every line for data
)


def parameters(app: App) -> ParametersOut:
    """What a client needs to show the app."""
    return ParametersOut(
        opening_statement=app.opening_statement,
        suggested_questions=list(app.suggested_questions),
        suggested_questions_after_answer=SwitchOut(enabled=app.suggests_after_answer),
        user_input_form=[{field.kind.value: _field(field)} for field in app.form],
    )


def info(app: App) -> InfoOut:
    """What the app is."""
    return InfoOut(
        name=app.name, description=app.description, tags=list(app.tags), author_name=app.author
    )


def _field(field: InputField) -> FieldOut:
    return FieldOut(
        label=field.label,
        variable=field.variable,
        required=field.required,
        default=field.default,
        max_length=field.max_length,
        options=list(field.options) or None,
    )


def _message(exchange: Exchange) -> MessageOut:
    head, reply = exchange.conversation, exchange.reply
    usage = reply.usage or _UNCOUNTED
    before = reply.id.sequence - 2
    return MessageOut(
        **_exchange(exchange),
        **_ended(reply),
        parent_message_id=str(MessageId(head.id, before)) if before else None,
        status="error" if reply.status in {Status.FAILED, Status.INTERRUPTED} else "normal",
        error=reply.error,
        feedback=reply.rating and RatingOut(rating=reply.rating),
        message_tokens=usage.prompt_tokens,
        answer_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        username=head.user,
    )


def _exchange(exchange: Exchange) -> dict[str, Any]:
    head = exchange.conversation
    return {
        "id": str(exchange.reply.id),
        "conversation_id": conversation_id(head),
        "inputs": dict(head.inputs),
        "query": exchange.question.text,
        "answer": exchange.reply.text,
        "created_at": int(exchange.reply.created_at.timestamp()),
    }


def _ended(reply: Message) -> dict[str, Any]:
    return {"reply_status": reply.status, "finish_reason": reply.finish_reason}


def _metadata(reply: Message) -> MetadataOut:
    seconds = ((reply.ended_at or reply.created_at) - reply.created_at).total_seconds()
    usage = reply.usage or _UNCOUNTED
    return MetadataOut(
        usage=UsageOut(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            latency=round(seconds, 3),
        )
    )


def _sse(payload: Any) -> bytes:
    return b"data: " + _json(payload) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
