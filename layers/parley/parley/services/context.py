"""What of a conversation a model is shown: as many of the newest turns as its window holds."""

from collections.abc import Sequence
from itertools import pairwise

from parley.domain.conversations import Message, Role
from parley.domain.errors import ContextTooLong
from parley.domain.tokens import estimate_tokens
from parley.domain.turns import PromptMessage

TOKENS_PER_MESSAGE = 64
"""How long a message is taken to be when deciding how many to read."""

MOST_READ = 400
"""Messages read for one prompt at most in one go."""


def messages_to_read(window: int) -> int:
    """How many of the newest messages to read for a model with a window of so many tokens.

    It depends on the model alone, so a turn costs the same in a long conversation and a short one.
    """
    return max(2, min(MOST_READ, window // TOKENS_PER_MESSAGE))


def budget(window: int, max_tokens: int | None) -> int:
    """Tokens of a window that the prompt may take; the rest is kept free for the reply."""
    reserve = window // 4 if max_tokens is None else min(max_tokens, window // 2)
    return window - reserve


def build_prompt(
    *,
    system_prompt: str | None,
    history: Sequence[Message],
    text: str,
    budget: int,
    window: int,
) -> tuple[PromptMessage, ...]:
    """The system prompt, then the newest whole turns that fit, oldest first, then the new message.

    Only answered turns are shown: one that failed or is still under way would leave the model a
    question nobody answered.

    Args:
        history: messages in order of their number, the newest last.
        budget: tokens the prompt should keep to.
        window: tokens the model takes at all.

    Raises:
        ContextTooLong: the system prompt and the new message alone pass the window.
    """
    frame = [PromptMessage(Role.SYSTEM, system_prompt)] if system_prompt else []
    used = estimate_tokens(text) + sum(estimate_tokens(message.text) for message in frame)
    if used > window:
        raise ContextTooLong(
            f"The message is too long for this model: about {used} tokens with the system prompt, "
            f"where its context window holds {window}."
        )
    turns: list[PromptMessage] = []
    for reply, question in pairwise(reversed(history)):
        if reply.role is not Role.ASSISTANT or question.role is not Role.USER or not reply.text:
            continue
        used += estimate_tokens(question.text) + estimate_tokens(reply.text)
        if used > budget:
            break
        turns += [
            PromptMessage(Role.ASSISTANT, reply.text),
            PromptMessage(Role.USER, question.text),
        ]
    return (*frame, *reversed(turns), PromptMessage(Role.USER, text))
