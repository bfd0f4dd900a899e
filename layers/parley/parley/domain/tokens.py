"""How much of a context window a text takes, judged without a tokenizer."""

ASCII_PER_TOKEN = 3
"""Byte-pair vocabularies spend a token on about four characters of English; three errs to the safe
side. Other scripts fall back to as much as one token a byte, so there every byte counts as one."""

PER_MESSAGE = 8
"""What a chat template spends on a message besides its text."""


def estimate_tokens(text: str) -> int:
    """Tokens a message of this text takes at most, in all likelihood; an estimate, never billed."""
    total = len(text.encode())
    ascii_only = len(text.encode("ascii", "ignore"))
    return PER_MESSAGE + (total - ascii_only) + -(-ascii_only // ASCII_PER_TOKEN)
