"""How much of a context window a text takes, judged without a tokenizer."""

ASCII_PER_TOKEN = 3
"""Byte-pair vocabularies spend a token on about four characters of English; three errs to the safe
side. Other scripts fall back to as much as one token a byte, so there every byte counts as one."""

PER_MESSAGE = 8
"""What a chat template spends on a message besides its text."""


LIKELY_ASCII_PER_TOKEN = 4
LIKELY_BYTES_PER_TOKEN = 3
"""Of what isn't ASCII; vocabularies differ more there than anywhere."""

LIKELY_PER_MESSAGE = 4


def likely_tokens(text: str) -> int:
    """Tokens that a text takes, as likely too many as too few; billed where nobody has counted."""
    total = len(text.encode())
    ascii_only = len(text.encode("ascii", "ignore"))
    return -(-ascii_only // LIKELY_ASCII_PER_TOKEN) - (
        -(total - ascii_only) // LIKELY_BYTES_PER_TOKEN
    )


def most_tokens(text: str) -> int:
    """Tokens that a message of this text can't pass: a vocabulary spends one on a byte at worst."""
    return PER_MESSAGE + len(text.encode())


def estimate_tokens(text: str) -> int:
    """Tokens a message of this text takes at most, in all likelihood; an estimate, never billed."""
    total = len(text.encode())
    ascii_only = len(text.encode("ascii", "ignore"))
    return PER_MESSAGE + (total - ascii_only) + -(-ascii_only // ASCII_PER_TOKEN)
