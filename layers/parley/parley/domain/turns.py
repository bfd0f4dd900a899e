"""What a turn is made of: the request to a model, the events it yields, the record it leaves."""

from dataclasses import dataclass, field
from datetime import datetime

from parley.domain.conversations import FinishReason, Message, Parameters, Role, Status, Usage
from parley.domain.errors import ParleyError
from parley.domain.ids import MessageId


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message as the model is shown it."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """All that a model is told."""

    model: str
    """The back end's own id of the model, not the tenant's name for it."""
    messages: tuple[PromptMessage, ...]
    parameters: Parameters = field(default_factory=Parameters)


# What a model yields -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The model has taken the request: from here on the caller's status is a success."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply; whole characters only, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The model has ended its reply by itself."""

    finish_reason: FinishReason
    usage: Usage


ModelEvent = Accepted | TextDelta | Completed


# What a turn yields --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The turn is durable and the model has accepted it."""

    reply: Message
    """The pending reply: its id is the turn's id."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is settled in the store as it was streamed."""

    reply: Message


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended without a whole reply; what there was of it is settled in the store."""

    reply: Message
    error: ParleyError


TurnEvent = Started | TextDelta | Finished | Failed


# What a turn leaves --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """One line of the ledger; there is exactly one for each settled turn."""

    tenant: str
    user: str
    key_id: str
    dialect: str
    turn: MessageId
    model: str
    status: Status
    usage: Usage | None
    at: datetime
