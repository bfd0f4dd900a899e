"""Conversations and their messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Self, TypeVar

from parley.domain.holds import Hold, Quote
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tools import ToolCall, ToolResult

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


class Rating(StrEnum):
    """What a user thinks of a reply."""

    LIKE = "like"
    DISLIKE = "dislike"


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
    cached_tokens: int = 0
    """Of the prompt's: read from a cache, and cheaper."""
    reasoning_tokens: int = 0
    """Of the completion's: spent on thinking."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How to sample; `None` leaves a choice to the model's owner."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None

    def over(self, other: Self) -> Self:
        """These, and where they leave a choice open, those of `other`."""
        open_choices = {
            name: getattr(other, name)
            for name in (choice.name for choice in fields(self))
            if getattr(self, name) in {None, ()}
        }
        return replace(self, **open_choices)


UNDECIDED = Parameters()
"""Leaves every choice open."""


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
    parameters: Parameters = field(default_factory=Parameters)
    """How to sample where a turn doesn't say otherwise."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the caller wants to remember: any JSON object."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What was filled into the prompt template that the system prompt came from."""
    alias: str | None = None
    """The id under which another system knew this conversation before it was brought here."""
    message_count: int = 0
    """Messages appended so far, and so the sequence number of the newest one."""


TEXT_ONLY = "text_only"
"""In `Origin.telling`, with a true value: thoughts and calls aren't shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asked for a reply, and how it is told: what is needed to end it or tell it again."""

    dialect: str
    key_id: str
    user: str
    telling: Mapping[str, Any] = field(default_factory=dict)
    """What the dialect needs to tell the reply again just as it did: any JSON object.

    Empty where the reply wasn't streamed. Of a dialect that shows text only it has `TEXT_ONLY`.
    """
    holds: tuple[Hold, ...] = ()
    """What the turn holds of limits; at most one of each account."""
    quote: Quote | None = None
    """What it may come to cost, for one who settles it without having run it."""


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
    error_message: str | None = None
    """What the caller was told of it."""
    error_param: str | None = None
    """The field of the request that was wrong, where one was."""
    refused: bool = False
    """Whether it failed before the model had accepted it: the caller was told the error alone."""
    last_checkpoint: int | None = None
    """On an interrupted reply: the last one it is made of, whatever its process still writes."""
    ended_at: datetime | None = None
    """When the reply was settled."""
    origin: Origin | None = None
    """Of a reply: who asked for it."""
    product_ids: tuple[int, ...] = ()
    """The products that were found for this reply, best first."""
    rating: Rating | None = None
    """The user's opinion of this reply."""
    reasoning: str = ""
    """What the model thought before it replied."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls the model asks for in this reply."""
    tool_results: tuple[ToolResult, ...] = ()
    """What the calls of an earlier reply have come to, in a tool's message; its text is empty."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a longer list, in the order asked for; `has_more` says whether it goes on."""

    items: tuple[T, ...]
    has_more: bool
