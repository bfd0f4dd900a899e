"""One identity per conversation and message, in every form a dialect shows.

A conversation is a random number of 33 bits within its tenant. A message is its conversation's
number followed by its sequence number in 20 bits, so a message id alone finds its conversation, and
both stay below 2**53, the largest integer every JSON reader keeps exact. As text they are UUIDs of
version 8 (RFC 9562, section 5.8): the low 53 bits carry the number, the others are a digest of it,
so that a UUID which Parley never issued is recognised without a table of UUIDs.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Self

CONVERSATION_BITS = 33
SEQUENCE_BITS = 20
NUMBER_BITS = CONVERSATION_BITS + SEQUENCE_BITS
MAX_SEQUENCE = (1 << SEQUENCE_BITS) - 1
NEVER_ISSUED = 0
"""The conversation number no conversation has: what an id we never gave is looked up as."""


@dataclass(frozen=True, slots=True, order=True)
class ConversationId:
    """A conversation within its tenant: a number of 1 to 2**33 - 1, shown as integer or UUID."""

    number: int

    def __str__(self) -> str:
        return str(_to_uuid("conversation", self.number))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a UUID; one that was never issued becomes the id that no conversation has.

        An unknown id is thereby looked up like a known one, so that timing tells nothing.
        """
        number = _from_uuid("conversation", text)
        return cls(number if 0 < number < 1 << CONVERSATION_BITS else NEVER_ISSUED)

    @classmethod
    def from_number(cls, number: int) -> Self:
        """Read an integer id; one out of range becomes the id that no conversation has."""
        return cls(number if 0 < number < 1 << CONVERSATION_BITS else NEVER_ISSUED)


@dataclass(frozen=True, slots=True, order=True)
class MessageId:
    """The `sequence`-th message of a conversation, counted from 1 without gaps."""

    conversation: ConversationId
    sequence: int

    @property
    def number(self) -> int:
        """The id as an integer below 2**53, unique within the tenant."""
        return self.conversation.number << SEQUENCE_BITS | self.sequence

    @property
    def is_completion(self) -> bool:
        """Whether this is a stateless completion's reply: odd, as stored ones are even."""
        return self.sequence % 2 == 1

    def __str__(self) -> str:
        return str(_to_uuid("message", self.number))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a UUID; one that was never issued becomes the id that no message has."""
        return cls.from_number(_from_uuid("message", text))

    @classmethod
    def from_number(cls, number: int) -> Self:
        """Read an integer id; one out of range becomes the id that no message has."""
        if not 0 < number < 1 << NUMBER_BITS:
            number = NEVER_ISSUED
        return cls(ConversationId(number >> SEQUENCE_BITS), number & MAX_SEQUENCE)


def _to_uuid(kind: str, number: int) -> uuid.UUID:
    digest = hashlib.sha256(f"parley:{kind}:{number}".encode()).digest()
    filling = int.from_bytes(digest[:16], "big") >> NUMBER_BITS << NUMBER_BITS
    bits = filling | number
    bits = bits & ~(0xF << 76) | 0x8 << 76  # version 8
    bits = bits & ~(0x3 << 62) | 0x2 << 62  # the RFC's variant
    return uuid.UUID(int=bits)


def _from_uuid(kind: str, text: str) -> int:
    try:
        given = uuid.UUID(text)
    except ValueError:
        return NEVER_ISSUED
    number = given.int & (1 << NUMBER_BITS) - 1
    return number if _to_uuid(kind, number) == given else NEVER_ISSUED
