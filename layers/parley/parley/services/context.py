"""What of a conversation a model is shown: as many of the newest turns as its window holds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import ContextTooLong
from parley.domain.tokens import estimate_tokens
from parley.domain.tools import ToolResult
from parley.domain.turns import PromptMessage
from parley.services.tool_results import are_of, result_of_each

TOKENS_PER_MESSAGE = 64
"""How long a message is taken to be when deciding how many to read."""

MOST_READ = 400
"""Messages read for one prompt at most in one go."""

NO_RESULT = "No result was given."
"""What the model is told of a call that nobody answered: no back end takes one without a result."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What a user said, and what came of it until a user spoke again."""

    said: Sequence[PromptMessage]
    """The user's message; none where it lies before what was read."""
    steps: Sequence[Sequence[PromptMessage]] = ()
    """Replies in order, each with the results of its calls behind it."""


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
    text: str = "",
    tool_results: Sequence[ToolResult] = (),
    budget: int,
    window: int,
) -> tuple[PromptMessage, ...]:
    """The system prompt, then the newest whole exchanges that fit, oldest first, then what is new.

    New is a message of the user's, or results of the calls that the last reply asked for. Then the
    exchange that goes on is shown from its question on; where it doesn't fit, its oldest calls go
    first, each with its results.

    Only answered messages are shown: one whose reply failed or is still under way would leave the
    model a question nobody answered.

    Args:
        history: messages in order of their number, the newest last.
        text: what the user says, where there are no results.
        budget: tokens the prompt should keep to.
        window: tokens the model takes at all.

    Raises:
        ContextTooLong: the system prompt and what is new alone pass the window.
    """
    frame = [PromptMessage(Role.SYSTEM, system_prompt)] if system_prompt else []
    exchanges = _exchanges(history, tool_results)
    current = next(exchanges) if tool_results else _Exchange([PromptMessage(Role.USER, text)])
    *earlier, newest = current.steps or [()]
    used = _tokens([*frame, *current.said, *newest])
    if used > window:
        raise ContextTooLong(
            f"The message is too long for this model: about {used} tokens with the system prompt, "
            f"where its context window holds {window}."
        )
    shown = [*newest]
    for step in reversed(earlier):
        used += _tokens(step)
        if used > budget:
            return (*frame, *current.said, *shown)
        shown = [*step, *shown]
    shown = [*current.said, *shown]
    for exchange in exchanges:
        whole = [*exchange.said, *(message for step in exchange.steps for message in step)]
        used += _tokens(whole)
        if used > budget or not exchange.said:
            break
        shown = [*whole, *shown]
    return (*frame, *shown)


def _exchanges(history: Sequence[Message], results: Sequence[ToolResult]) -> Iterator[_Exchange]:
    """What was said and replied, the newest exchange first; of the oldest perhaps not all.

    Args:
        results: of the calls that the last reply asked for.
    """
    steps: list[Sequence[PromptMessage]] = []
    for reply, said in pairwise(reversed(history)):
        if reply.role is not Role.ASSISTANT or said.role is Role.ASSISTANT:
            continue
        step = _step(reply, results)
        if not step:
            continue
        steps.insert(0, step)
        results = said.tool_results
        if not results:
            yield _Exchange([PromptMessage(Role.USER, said.text)], steps)
            steps = []
    if steps:
        yield _Exchange((), steps)


def _step(reply: Message, results: Sequence[ToolResult]) -> Sequence[PromptMessage]:
    """A reply, and the results of its calls; nothing where that isn't to be shown.

    Args:
        results: what was said next, if it was that. Then what doesn't have these calls is a failed
            reply to earlier results, which were given again.
    """
    # The calls of a reply that broke off may be broken, too.
    calls = reply.tool_calls if reply.status is Status.COMPLETED else ()
    if results and not are_of(calls, results):
        return ()
    if not calls and not reply.text:
        return ()
    return [
        PromptMessage(Role.ASSISTANT, reply.text, tool_calls=calls),
        *(
            PromptMessage(Role.TOOL, result.text if result else NO_RESULT, tool_call_id=call.id)
            for call, result in result_of_each(calls, results)
        ),
    ]


def _tokens(messages: Iterable[PromptMessage]) -> int:
    return sum(
        estimate_tokens(text)
        for message in messages
        for text in (
            message.text,
            *(part for call in message.tool_calls for part in (call.name, call.arguments)),
        )
    )
