"""Requests and replies of the consultant API."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from parley.dialects.fields import Identifier, Text

LONGEST_MESSAGE = 4000
"""Characters, not bytes."""


def _false(value: bool) -> bool:  # noqa: FBT001 - pydantic calls it
    if value:
        raise ValueError("must be false here; POST to /chat/stream for a stream")
    return value


class QuestionBody(BaseModel):
    """POST /api/v1/chat/stream."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "What running shoes do you recommend?"}]}
    )

    message: Annotated[Text, Field(min_length=1, max_length=LONGEST_MESSAGE)]
    chat_id: Annotated[int, Field(strict=True)] | None = None
    """The chat to continue; without one a new chat begins."""
    user_id: Identifier | None = None
    """Whose chat it is, where the shop tells its customers apart."""


class BlockingQuestionBody(QuestionBody):
    """POST /api/v1/chat."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"message": "What running shoes do you recommend?", "stream": False}]
        }
    )

    stream: Annotated[
        bool, AfterValidator(_false), Field(strict=True, json_schema_extra={"const": False})
    ] = False


class AnswerOut(BaseModel):
    """The consultant's whole answer."""

    chat_id: int
    message_id: int
    response: str
    product_ids: list[int]
    status: str
    """`completed` or `stopped`."""
    finish_reason: str | None
    """Why the model ended it: `stop`, `length` …; null where it was stopped."""


class MessageOut(BaseModel):
    """A message of a chat."""

    id: int
    content: str
    is_from_user: bool
    created_at: datetime
    product_ids: list[int]
    status: str
    """`completed`, or what became of a reply instead: `pending`, `failed`, `stopped` …"""
    finish_reason: str | None
    """Why the model ended a reply: `stop`, `length` …; null where it didn't."""
