"""Shorthand for asking a model."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from parley.domain.conversations import FinishReason, Parameters, Role, Usage
from parley.domain.errors import ParleyError
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    ModelEvent,
    PromptMessage,
    TextDelta,
)
from parley.ports import Model


@dataclass(frozen=True)
class Answer:
    """All that a model yielded."""

    events: tuple[ModelEvent, ...]

    @property
    def deltas(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, TextDelta)]

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    @property
    def accepted(self) -> bool:
        return any(isinstance(event, Accepted) for event in self.events)

    @property
    def finish_reason(self) -> FinishReason:
        return self._completed.finish_reason

    @property
    def usage(self) -> Usage:
        counted = self._completed.usage
        assert counted is not None
        return counted

    @property
    def _completed(self) -> Completed:
        last = self.events[-1]
        assert isinstance(last, Completed)
        return last


def prompt(*messages: str | tuple[Role, str], **parameters: Any) -> CompletionRequest:
    """A request with these messages, the user's where no role is given."""
    return CompletionRequest(
        model="any",
        messages=tuple(
            PromptMessage(Role.USER, message)
            if isinstance(message, str)
            else PromptMessage(*message)
            for message in messages
        ),
        parameters=Parameters(**parameters),
    )


async def ask(model: Model, *messages: str | tuple[Role, str], **parameters: Any) -> Answer:
    """The whole answer to `prompt(...)`."""
    return await ask_for(model, prompt(*messages, **parameters))


async def ask_for(model: Model, request: CompletionRequest) -> Answer:
    """The whole answer to a request."""
    async with aclosing(model.complete(request)) as events:
        return Answer(tuple([event async for event in events]))


async def until_failure(model: Model) -> tuple[Sequence[ModelEvent], ParleyError]:
    """What a model yields, and what it raises then."""
    seen: list[ModelEvent] = []
    events = model.complete(prompt("Say hello."))
    with pytest.raises(ParleyError) as failure:  # noqa: PT012 - the events before it count
        async for event in events:
            seen.append(event)  # noqa: PERF401 - a comprehension would lose them
    return seen, failure.value
