"""Events of ConverseStream as a model's events."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from parley.adapters.models.characters import WholeCharacters
from parley.adapters.models.failures import broken_off, ended_oddly, unreadable
from parley.domain.conversations import FinishReason, Usage
from parley.domain.turns import (
    Accepted,
    Completed,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
}

Event = Mapping[str, Any]


class Reply:
    """One reply, as far as it has come; the request counts as accepted at its first piece."""

    def __init__(self) -> None:
        self.accepted = False
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._text = WholeCharacters()
        self._reasoning = WholeCharacters()
        self._calls: dict[int, int] = {}  # by the number of their block
        self._silent_calls: set[int] = set()  # blocks of calls without arguments so far

    @property
    def ended(self) -> bool:
        """Whether the model has said why it ended; only the usage may still come."""
        return self._finish_reason is not None

    def read(self, event: Event) -> Iterator[ModelEvent]:
        """Yield what an event says.

        Raises:
            ModelError: it isn't one of Converse's, or says that the reply failed.
        """
        try:
            said = list(self._read(event))
        except (LookupError, TypeError, AttributeError) as error:
            raise unreadable() from error
        for one in said:
            yield from self._accept()
            yield one

    def end(self) -> Iterator[ModelEvent]:
        """Yield the end.

        Raises:
            ModelError: the model hasn't said why it ended, so it broke off.
        """
        if self._finish_reason is None:
            raise broken_off()
        yield from self._accept()
        yield Completed(self._finish_reason, self._usage)

    def _accept(self) -> Iterator[ModelEvent]:
        if not self.accepted:
            self.accepted = True
            yield Accepted()

    def _read(self, event: Event) -> Iterator[ModelEvent]:
        match event:
            case {"contentBlockStart": {"start": {"toolUse": call}, "contentBlockIndex": block}}:
                self._silent_calls.add(block)
                index = self._calls[block] = len(self._calls)
                yield ToolCallDelta(index, "", call["toolUseId"], call["name"])
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": block}}:
                yield from self._read_delta(delta, block)
            case {"contentBlockStop": {"contentBlockIndex": block}}:
                if block in self._silent_calls:
                    yield ToolCallDelta(self._calls[block], "{}")
            case {"messageStop": {"stopReason": reason}}:
                self._finish_reason = _FINISH_REASONS.get(reason)
                if self._finish_reason is None:
                    raise ended_oddly()
            case {"metadata": {"usage": usage}}:
                self._usage = _usage(usage)

    def _read_delta(self, delta: Mapping[str, Any], block: int) -> Iterator[ModelEvent]:
        match delta:
            case {"text": piece}:
                if text := self._text.feed(piece):
                    yield TextDelta(text)
            case {"reasoningContent": {"text": piece}}:
                if text := self._reasoning.feed(piece):
                    yield ReasoningDelta(text)
            case {"toolUse": {"input": piece}}:
                if piece:
                    self._silent_calls.discard(block)
                    yield ToolCallDelta(self._calls[block], piece)


def as_events(response: Mapping[str, Any]) -> Iterator[Event]:
    """What Converse answers as a whole, as ConverseStream would have told it."""
    for block, content in enumerate(response["output"]["message"]["content"]):
        match content:
            case {"text": text}:
                yield _delta(block, {"text": text})
            case {"reasoningContent": {"reasoningText": {"text": text}}}:
                yield _delta(block, {"reasoningContent": {"text": text}})
            case {"toolUse": call}:
                yield {"contentBlockStart": {"start": content, "contentBlockIndex": block}}
                told = json.dumps(call["input"], ensure_ascii=False)
                yield _delta(block, {"toolUse": {"input": told}})
    yield {"messageStop": {"stopReason": response["stopReason"]}}
    yield {"metadata": {"usage": response["usage"]}}


def _delta(block: int, delta: Mapping[str, Any]) -> Event:
    return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": block}}


def _usage(counted: Mapping[str, Any]) -> Usage:
    """What Bedrock counted; what it reads from a cache or writes to it isn't in its input."""
    read, written = (counted.get(f"cache{what}InputTokens") or 0 for what in ("Read", "Write"))
    return Usage(counted["inputTokens"] + read + written, counted["outputTokens"], read)
