"""The machine's clock and its source of chance."""

import secrets
import time
from datetime import UTC, datetime

from parley.domain.ids import CONVERSATION_BITS, ConversationId


class SystemClock:
    """The `Clock` of the machine."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        return time.monotonic()


class RandomIds:
    """`Ids` from the operating system's generator.

    A generator that lives in the process would repeat itself wherever a snapshot of the process is
    started twice, as Lambda's SnapStart does.
    """

    def conversation(self) -> ConversationId:
        """A random conversation id."""
        return ConversationId(1 + secrets.randbelow((1 << CONVERSATION_BITS) - 1))

    def secret(self) -> str:
        """256 random bits as URL-safe text of 43 characters."""
        return secrets.token_urlsafe(32)
