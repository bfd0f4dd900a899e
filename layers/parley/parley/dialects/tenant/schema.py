"""Requests and replies of the tenant API."""

import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from parley.dialects.fields import MAX_INTEGER, Identifier, ShortText, Text

MAX_METADATA_BYTES = 16_384
"""Of a chat's metadata as compact JSON in UTF-8."""

MAX_METADATA_DEPTH = 16
"""Objects and lists within each other, the metadata itself included."""

DEFAULT_PAGE = 50
MAX_PAGE = 100

Offset = Annotated[
    int, Field(ge=0, le=MAX_INTEGER, description="How many to skip before the first.")
]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE, description="How many to answer with at most.")]
Order = Literal["asc", "desc"]


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is too deep or too large to keep, and what no JSON text can say."""
    level: list[Any] = [metadata]
    for _ in range(MAX_METADATA_DEPTH):
        inner: list[Any] = []
        for value in level:
            match value:
                case dict():
                    inner += value.values()
                case list():
                    inner += value
                case float() if not math.isfinite(value):
                    raise ValueError("must not contain a number that isn't finite")
        level = inner
    if any(isinstance(value, dict | list) for value in level):
        raise ValueError(f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError as error:
        raise ValueError("must not contain half of a surrogate pair") from error
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"has {size} bytes as JSON; at most {MAX_METADATA_BYTES} are kept")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_bounded)]
"""Any JSON object of up to 16 KB."""


class ChatBody(BaseModel):
    """POST /api/v1/chats."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "user123",
                    "title": "My account",
                    "metadata": {"source": "website", "tags": ["billing"]},
                }
            ]
        }
    )

    user_id: Identifier
    title: ShortText | None = None
    metadata: Metadata | None = None
    system_prompt: Annotated[Text, Field(max_length=100_000)] | None = None
    model: Identifier | None = None


class ChatOut(BaseModel):
    """A chat; `id` and `chat_id` are the same."""

    id: str
    chat_id: str
    user_id: str
    title: str | None
    metadata: dict[str, Any]
    system_prompt: str | None
    model: str | None
    message_count: int
    created_at: datetime
    updated_at: datetime


class ChatPage(BaseModel):
    """Some of a user's chats."""

    chats: list[ChatOut]
    total: int
    offset: int
    limit: int
    has_more: bool


class DeletedOut(BaseModel):
    """What is left of a chat."""

    success: Literal[True] = True
    message: Literal["The chat and its messages are deleted."] = (
        "The chat and its messages are deleted."
    )
    id: str
    chat_id: str


class UsageOut(BaseModel):
    """Tokens as the model counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ToolCallOut(BaseModel):
    """A call that a reply asks for; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolResultOut(BaseModel):
    """What one call has come to."""

    tool_call_id: str
    content: str


class MessageOut(BaseModel):
    """A message of a chat; `id` and `message_id` are the same."""

    id: str
    message_id: str
    chat_id: str
    role: str
    content: str
    status: str
    model: str | None
    finish_reason: str | None
    usage: UsageOut | None
    error: str | None
    tool_calls: list[ToolCallOut]
    tool_results: list[ToolResultOut]
    created_at: datetime


class MessagePage(BaseModel):
    """Some of a chat's messages."""

    messages: list[MessageOut]
    total: int
    offset: int
    limit: int
    has_more: bool
