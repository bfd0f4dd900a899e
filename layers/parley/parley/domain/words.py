"""Calls and their results told in words, for models that have no tools."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parley.domain.conversations import Role
from parley.domain.tools import ToolCall
from parley.domain.turns import PromptMessage


def in_words(messages: Iterable[PromptMessage]) -> Iterator[PromptMessage]:
    """The messages with calls as text of the assistant's, and results as text of the user's.

    Results of calls that come together make one message, so that users and assistants that take
    turns still do.
    """
    called: dict[str | None, ToolCall] = {}  # by the newest message of the assistant
    results: list[str] = []
    for message in messages:
        if message.role is Role.TOOL:
            call = called.get(message.tool_call_id)
            results.append(f"{call.name} returned: {message.text}" if call else message.text)
            continue
        if results:
            yield _told(results)
            results = []
        if message.tool_calls:
            called = {call.id: call for call in message.tool_calls}
            calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
            text = "\n".join(filter(None, [message.text, *calls]))
            yield replace(message, text=text, tool_calls=())
        else:
            yield message
    if results:
        yield _told(results)


def _told(results: Iterable[str]) -> PromptMessage:
    return PromptMessage(Role.USER, "\n".join(results))
