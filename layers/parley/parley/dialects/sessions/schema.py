"""Requests and replies of the sessions API; names are in camel case, as its clients write them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.alias_generators import to_camel

from parley.dialects.fields import Identifier, Metadata, ShortText, Text, Unicode
from parley.dialects.openai.schema import CallId, Sampling, Streaming, ToolCallOut, Using


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


class _Message(Sampling, Using, Streaming):
    """What every message can come with: Chat Completions' parameters by their own names."""

    model: Identifier | None = None


class UserMessageBody(_Message):
    """What a user says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"role": "user", "content": "Where is it warm in March?"}]}
    )

    role: Literal["user"] = "user"
    content: Annotated[Text, Field(min_length=1)]


class ToolResult(_Camel):
    """What one call has come to."""

    tool_call_id: CallId
    content: Unicode


class ToolResultsBody(_Message):
    """What the calls of the newest reply have come to, all of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "role": "tool",
                    "toolResults": [{"toolCallId": "call_a1", "content": "23 degrees"}],
                }
            ]
        },
    )

    role: Literal["tool"]
    tool_results: Annotated[
        list[ToolResult], Field(alias="toolResults", min_length=1, max_length=128)
    ]


def _kind(body: Any) -> str:
    role = body.get("role") if isinstance(body, dict) else None
    return "tool" if role == "tool" else "user"


MessageBody = Annotated[
    Annotated[UserMessageBody, Tag("user")] | Annotated[ToolResultsBody, Tag("tool")],
    Discriminator(_kind),
]
"""POST /v1/chat/{chatId}."""


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


class StoppedOut(_Camel):
    """A turn that goes on no more."""

    id: str
    object: Literal["turn.stopped"] = "turn.stopped"


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
    tool_results: list[ToolResult]
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
