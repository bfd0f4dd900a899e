"""Chats held over connections: who is connected, what happens in a chat, what is left to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from parley.domain.conversations import FinishReason, Status, Usage
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tenants import KeyKind

LIFETIME = timedelta(hours=2, minutes=10)
"""No connection lives longer; API Gateway ends each after two hours."""

LOG_LIFETIME = timedelta(days=1)
"""How long what happened in a chat can be told again."""

BEGINNING = 0
"""The position before everything that ever happened in a chat."""


@dataclass(frozen=True, slots=True)
class ChatRef:
    """A chat as its log is found."""

    tenant: str
    conversation: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A client's open connection to one chat."""

    id: str
    tenant: str
    conversation: ConversationId
    user: str
    """Whose chat it is."""
    key_id: str
    kind: KeyKind
    token_user: str | None
    """The user whom the credential speaks for, where it speaks for one only."""
    slot: int
    """Which of the tenant's connections it is."""
    cursor: int
    """What happened up to this position is none of the connection's business."""
    opened_at: datetime

    @property
    def chat(self) -> ChatRef:
        """The chat it is connected to."""
        return ChatRef(self.tenant, self.conversation)


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a tenant's connection slots, taken."""

    number: int
    connection: str
    taken_at: datetime


# What happens in a chat ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserCreated:
    """The chat's user was seen for the first time."""

    user: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A user's message is durable."""

    message: MessageId
    text: str | None
    """None for a text too long to be told; the history has it."""
    client_id: str | None = None
    """The sender's own id of it."""
    to: str | None = None
    """The one connection that it concerns, as it has said it again; None concerns all."""


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A model has taken up the turn."""

    message: MessageId


@dataclass(frozen=True, slots=True)
class ReplyText:
    """A piece of a reply."""

    message: MessageId
    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A reply is settled in the store as it was told."""

    message: MessageId
    status: Status
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ErrorOccurred:
    """A message was refused, or a reply has failed."""

    error: Mapping[str, Any]
    """Code, message and details, as the chat's clients are told."""
    message: MessageId | None = None
    client_id: str | None = None
    to: str | None = None
    """The one connection that it concerns; None concerns all."""


ChatEvent = UserCreated | MessageReceived | ReplyStarted | ReplyText | ReplyEnded | ErrorOccurred


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in a chat's log."""

    position: int
    """Rises from each entry to the next, for as long as there is the chat."""
    at: datetime
    event: ChatEvent


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection that is told what happens, and up to where it has been told."""

    connection: str
    cursor: int


# What is left to do -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greet:
    """Tell a new connection that it is established."""

    connection: Connection
    resumed: bool
    """Whether it goes on, without a gap, where an earlier one has ended."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell a connection why it can't stay, and end it."""

    connection: str
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a message that is durable."""

    connection: Connection
    turn: MessageId


Job = Greet | Refuse | Answer
