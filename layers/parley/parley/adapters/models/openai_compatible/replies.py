"""Chunks of Chat Completions as a model's events."""

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from parley.adapters.models.characters import WholeCharacters, whole
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
    "stop": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,  # this and the next two are Text Generation Inference's
    "eos_token": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class Reply:
    """One reply, as far as it has come.

    The request counts as accepted at the first piece of the reply: servers send a chunk with
    nothing but the role in it before they know whether they can answer.
    """

    def __init__(self) -> None:
        self.accepted = False
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._refused = False
        self._text = WholeCharacters()
        self._reasoning = WholeCharacters()
        self._logprobs: list[Mapping[str, Any]] = []  # of tokens that end in half a character
        self._calls = _ToolCalls()

    @property
    def ended(self) -> bool:
        """Whether the model has said why it ended; only the usage may still come."""
        return self._finish_reason is not None

    def read(self, chunk: Mapping[str, Any]) -> Iterator[ModelEvent]:
        """Yield what a chunk says; a whole completion is read as one chunk.

        Raises:
            ModelError: the chunk isn't one, or says that the reply failed.
        """
        self._usage = _usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices") or ()
        if not isinstance(choices, list | tuple):
            raise unreadable()
        for choice in choices:
            if not isinstance(choice, dict):
                raise unreadable()
            if not choice.get("index"):
                yield from self._read_choice(choice)

    def end(self) -> Iterator[ModelEvent]:
        """Yield the end.

        Raises:
            ModelError: the model hasn't said why it ended, so it broke off.
        """
        if self._finish_reason is None:
            raise broken_off()
        yield from self._accept()
        # Who asked for JSON can't tell a refusal from a reply, unless the end says so.
        reason = FinishReason.CONTENT_FILTER if self._refused else self._finish_reason
        yield Completed(reason, self._usage)

    def _accept(self) -> Iterator[ModelEvent]:
        if not self.accepted:
            self.accepted = True
            yield Accepted()

    def _read_choice(self, choice: Mapping[str, Any]) -> Iterator[ModelEvent]:
        said = choice.get("delta") or choice.get("message") or {}
        if not isinstance(said, dict):
            raise unreadable()
        for event in (
            *self._thought(said),
            *self._told(said, choice.get("logprobs")),
            *self._calls.read(said.get("tool_calls") or ()),
        ):
            yield from self._accept()
            yield event
        reason = choice.get("finish_reason")
        if reason:
            self._finish_reason = _FINISH_REASONS.get(str(reason))
            if self._finish_reason is None:
                raise ended_oddly()

    def _thought(self, said: Mapping[str, Any]) -> Iterator[ModelEvent]:
        thought = _string(said, "reasoning_content") or _string(said, "reasoning")
        if text := self._reasoning.feed(thought):
            yield ReasoningDelta(text)

    def _told(self, said: Mapping[str, Any], logprobs: object) -> Iterator[ModelEvent]:
        refusal = _string(said, "refusal")
        self._refused = self._refused or bool(refusal)
        if isinstance(logprobs, dict):
            self._logprobs += logprobs.get("content") or ()
        if text := self._text.feed(_string(said, "content") + refusal):
            yield TextDelta(text, tuple(self._logprobs))
            self._logprobs.clear()


class _ToolCalls:
    """The calls of a reply, numbered in the order in which they begin.

    Not every server numbers them: some give none, some give each call the number 0 and an id of its
    own.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._current: dict[int, int] = {}  # the call that a server's number stands for now

    def read(self, pieces: object) -> Iterator[ToolCallDelta]:
        if not isinstance(pieces, list | tuple):
            raise unreadable()
        for position, piece in enumerate(pieces):
            function = piece.get("function") if isinstance(piece, dict) else None
            if not isinstance(function, dict):
                raise unreadable()
            number = piece.get("index")
            yield self._piece(
                number if isinstance(number, int) else position, _string(piece, "id"), function
            )

    def _piece(self, number: int, call_id: str, function: Mapping[str, Any]) -> ToolCallDelta:
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        index = self._current.get(number)
        if index is not None and call_id in {"", self._ids[index]}:
            return ToolCallDelta(index, whole(arguments))
        name = _string(function, "name")
        if not name:
            raise unreadable()
        index = self._current[number] = len(self._ids)
        self._ids.append(call_id or f"call_{secrets.token_hex(12)}")
        return ToolCallDelta(index, whole(arguments), self._ids[index], name)


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise unreadable()
    return value


def _usage(counted: object) -> Usage | None:
    """What a server counted, where it has counted both prompt and completion."""
    if not isinstance(counted, dict):
        return None
    prompt, completion = _count(counted, "prompt_tokens"), _count(counted, "completion_tokens")
    if prompt is None or completion is None:
        return None
    return Usage(
        prompt,
        completion,
        _count(counted.get("prompt_tokens_details"), "cached_tokens") or 0,
        _count(counted.get("completion_tokens_details"), "reasoning_tokens") or 0,
    )


def _count(counted: object, name: str) -> int | None:
    number = counted.get(name) if isinstance(counted, dict) else None
    return number if isinstance(number, int) and number >= 0 else None
