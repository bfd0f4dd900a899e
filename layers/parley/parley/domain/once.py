"""Requests that their senders may repeat, and that happen once all the same."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from parley.domain.errors import Conflict, KeyReused
from parley.domain.ids import ConversationId, MessageId

REMEMBERED_FOR = timedelta(hours=24)
"""How long a request is recognised when it comes again."""

LONGEST_KEY = 255
"""Characters of an idempotency key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with."""

    status: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is known of a request from when it came before."""

    fingerprint: str
    conversation: ConversationId | None = None
    """The conversation it began."""
    turns: tuple[MessageId, ...] = ()
    """The turns it began; to answer it again is to tell them again."""
    answer: Answer | None = None
    """What it was answered with, where it didn't begin a turn."""
    held_until: datetime | None = None
    """Who answers it now has until then; None where nobody does, or has for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A request that carries an idempotency key."""

    tenant: str
    name: str
    """Digest of the key and of whose it is: a user's keys are another's no business."""
    fingerprint: str
    """Digest of what is asked; the same key with another one is a mistake."""
    before: Done | None = None
    """What was known of it when it came, where it had come before."""

    @property
    def begun(self) -> ConversationId | None:
        """The conversation that it began when it came before."""
        return self.before.conversation if self.before is not None else None

    @property
    def is_told_again(self) -> bool:
        """Whether it began turns when it came before, so that there is nothing but to tell them."""
        return self.before is not None and bool(self.before.turns)

    def check(self, done: Done) -> None:
        """Hold a request to what came with its key before.

        Raises:
            KeyReused: that was another request.
        """
        if done.fingerprint != self.fingerprint:
            raise KeyReused(
                "This idempotency key came with another request before. Use a new key for a new "
                "request."
            )


class Repeated(Conflict):
    """This request has come before, and what it asks for has happened; nothing was changed.

    Attributes:
        done: what is known of it.
    """

    def __init__(self, done: Done) -> None:
        super().__init__("This request has come before.")
        self.done = done
