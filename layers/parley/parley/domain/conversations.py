"""Conversations and their messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from parley.domain.ids import ConversationId, MessageId

T = TypeVar("T")

DEFAULT_USER = "default"
"""Whose a conversation is when neither the credential nor the request names a user."""

MAX_TEXT_BYTES = 1_000_000
"""The longest message a caller may send, in UTF-8 bytes; a reply may be longer."""


class Role(StrEnum):
    """Who speaks; the values are the words of every dialect's wire."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Status(StrEnum):
    """Where a message is in its life; all but `PENDING` are final."""

    PENDING = "pending"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FinishReason(StrEnum):
    """Why a model ended its reply."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one completion as the model counted them."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data a caller may touch: a tenant's, or one user's within it.

    Every store operation takes one, and what lies outside it doesn't exist for that operation.
    """

    tenant: str
    user: str | None = None

    def covers(self, user: str) -> bool:
        """Whether data of this user lies within the scope."""
        return self.user is None or self.user == user


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation's head: all there is to know of it but the messages."""

    id: ConversationId
    tenant: str
    user: str
    created_at: datetime
    updated_at: datetime
    title: str | None = None
    system_prompt: str | None = None
    model: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    message_count: int = 0
    """Messages appended so far, and so the sequence number of the newest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation, or a stateless completion's reply."""

    id: MessageId
    role: Role
    text: str
    status: Status
    created_at: datetime
    model: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: str | None = None
    """The stable code of what went wrong, on a failed reply."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a longer list, in the order asked for; `has_more` says whether it goes on."""

    items: tuple[T, ...]
    has_more: bool
