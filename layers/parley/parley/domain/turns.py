"""What a turn is made of: the request to a model, the events it yields, the record it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from parley.domain.conversations import FinishReason, Message, Parameters, Role, Status, Usage
from parley.domain.errors import ParleyError
from parley.domain.ids import MessageId
from parley.domain.routes import ModelRoute
from parley.domain.tools import Tool, ToolCall, ToolChoice


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message."""

    url: str
    """`https:` or `data:`; nothing else is ever fetched."""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message as the model is shown it."""

    role: Role
    text: str
    """All of its text, in one piece."""
    parts: tuple[str | Image, ...] = ()
    """Text and pictures in their order, where there is a picture among them."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What an assistant asked for in this message."""
    tool_call_id: str | None = None
    """Which call a tool's message answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """The form a reply must have: JSON, of a schema if there is one."""

    name: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """All that a model is told."""

    model: str
    """The tenant's name for it in what a caller asks, the back end's own id once that is asked."""
    messages: tuple[PromptMessage, ...]
    parameters: Parameters = field(default_factory=Parameters)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    top_logprobs: int | None = None
    """How many alternatives to tell of each token; None tells no probabilities at all."""
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a model may use for one reply, and what form that must have.

    A conversation doesn't keep them: whoever says something in it says them anew.
    """

    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None

    def of(self, request: CompletionRequest) -> CompletionRequest:
        """The request with these options in place of its own."""
        chosen = {option.name: getattr(self, option.name) for option in fields(self)}
        return replace(request, **chosen)


NO_OPTIONS = Options()
"""Nothing but text in, text out."""


# What a model yields -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The model has taken the request: from here on the caller's status is a success."""

    route: ModelRoute | None = None
    """The route that serves, where one was taken."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply; whole characters only, never empty."""

    text: str
    logprobs: tuple[Mapping[str, Any], ...] = ()
    """Of its tokens, in OpenAI's shape, where they were asked for."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks before it replies; not part of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call: its id and name come with the first one of each index."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The model has ended its reply by itself."""

    finish_reason: FinishReason
    usage: Usage | None
    """None where the back end didn't count; it is never guessed."""


ModelEvent = Accepted | TextDelta | ReasoningDelta | ToolCallDelta | Completed


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


TurnEvent = Started | TextDelta | ReasoningDelta | ToolCallDelta | Finished | Failed


# What is kept of a turn while it runs ---------------------------------------------------------

Delta = TextDelta | ReasoningDelta | ToolCallDelta
"""A piece of a reply."""

CHECKPOINT_SECONDS = 1.0
"""What a reply grows by in this time is kept together; so much of it a crash can cost."""

HEARTBEAT_SECONDS = 5.0
"""A running turn gives a sign of life at least so often, be there something to keep or not."""

LEASE_SECONDS = 20.0
"""Without a sign of life for so long, a turn isn't running any more."""

JOURNAL_LIFETIME = timedelta(hours=25)
"""How long a checkpoint is kept: a day beyond the end of the longest turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a reply grew by since the checkpoint before: kept for a time, never changed."""

    number: int
    """Counted from 1; one without deltas is a sign of life, and the next one takes its place."""
    shown: int
    """Deltas that the turn's dialect shows, in all checkpoints before this one."""
    deltas: tuple[Delta, ...]
    shows: int
    """How many of `deltas` the dialect shows."""
    at: datetime


# What a turn leaves --------------------------------------------------------------------------

FORGOTTEN = ""
"""Whom a ledger line names once its user is to be forgotten; no user is called so."""


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
    """None where no model accepted the request."""
    at: datetime
    """When it was settled."""
    route: str | None = None
    """The label of the route that served; None where no model accepted the request."""
    estimated: bool = False
    """Whether the usage isn't the model's own count: it told none, as of a reply that broke off."""
    cost: Decimal | None = None
    """US dollars, exactly; None where the route had no price then."""
    first_token_ms: int | None = None
    """From when the model was asked to the first piece of the reply; None where none came."""
    duration_ms: int | None = None
    """From when the model was asked to the end; None where whoever asked it died."""
