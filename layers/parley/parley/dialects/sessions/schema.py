"""Requests and replies of the sessions API; names are in camel case, as its clients write them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from parley.dialects.fields import Identifier, Metadata, ShortText, Text
from parley.dialects.openai.schema import Sampling, Streaming, ToolCallOut


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ChatBody(_Camel):
    """POST /v1/chats."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Holiday", "systemPrompt": "You are a friendly travel agent."}]
        }
    )

    title: ShortText | None = None
    system_prompt: Annotated[Text, Field(max_length=100_000)] | None = None
    model: Identifier | None = None
    user: Identifier | None = None
    metadata: Metadata | None = None


class MessageBody(Sampling, Streaming):
    """POST /v1/chat/{chatId}; takes Chat Completions' sampling parameters by their own names."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"role": "user", "content": "Where is it warm in March?"}]}
    )

    role: Literal["user"] = "user"
    content: Annotated[Text, Field(min_length=1)]
    model: Identifier | None = None


class ChatOut(_Camel):
    """A chat session."""

    id: str
    object: Literal["chat"] = "chat"
    title: str | None
    system_prompt: str | None
    model: str | None
    user: str
    metadata: dict[str, str]
    message_count: int
    created_at: datetime
    updated_at: datetime


class ChatList(_Camel):
    """Some of a user's chats, newest first."""

    object: Literal["list"] = "list"
    data: list[ChatOut]
    has_more: bool


class DeletedOut(_Camel):
    """What is left of a chat."""

    id: str
    object: Literal["chat.deleted"] = "chat.deleted"
    deleted: Literal[True] = True


class UsageOut(_Camel):
    """Tokens as the model counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class MessageOut(_Camel):
    """A message of a chat."""

    id: str
    chat_id: str
    object: Literal["chat.message"] = "chat.message"
    role: str
    content: str
    status: str
    model: str | None
    finish_reason: str | None
    usage: UsageOut | None
    error: str | None
    reasoning: str | None
    tool_calls: list[ToolCallOut]
    created_at: datetime


class HistoryOut(_Camel):
    """A page of a chat's messages."""

    id: str
    object: Literal["chat.history"] = "chat.history"
    messages: list[MessageOut]
    total: int
    offset: int
    limit: int
    has_more: bool
