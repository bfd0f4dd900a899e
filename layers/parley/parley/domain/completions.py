"""Completions that their callers asked to keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from parley.domain.conversations import Message
from parley.domain.ids import MessageId
from parley.domain.turns import PromptMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCompletion:
    """A prompt and the replies to it, kept until somebody removes them."""

    id: MessageId
    """That of the first reply."""
    tenant: str
    user: str
    created_at: datetime
    model: str
    messages: tuple[PromptMessage, ...]
    """What the model was shown, oldest first."""
    replies: tuple[Message, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the caller wants to remember, and to find it by."""
