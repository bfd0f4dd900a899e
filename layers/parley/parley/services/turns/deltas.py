"""What a reply is made of, put together from its pieces."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parley.domain.tools import ToolCall
from parley.domain.turns import Delta, ReasoningDelta, TextDelta, ToolCallDelta

LONGEST_PIECE = 32_000
"""Characters of one delta at most; a checkpoint has to fit an item of the table."""


class Assembly:
    """A reply as far as it has come."""

    def __init__(self, deltas: Iterable[Delta] = ()) -> None:
        self.logprobs: list[Mapping[str, Any]] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        for delta in deltas:
            self.add(delta)

    def add(self, delta: Delta) -> None:
        """Add the next piece."""
        match delta:
            case TextDelta():
                self._text.append(delta.text)
                self.logprobs += delta.logprobs
            case ReasoningDelta():
                self._reasoning.append(delta.text)
            case ToolCallDelta():
                self._calls.setdefault(delta.index, []).append(delta)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come yet."""
        return not (self._text or self._reasoning or self._calls)

    @property
    def text(self) -> str:
        """What the reply says."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What the model thought."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of which anything is known, as far as they are."""
        return tuple(
            ToolCall(
                id=next((delta.id for delta in deltas if delta.id), ""),
                name=next((delta.name for delta in deltas if delta.name), ""),
                arguments="".join(delta.arguments for delta in deltas),
            )
            for _, deltas in sorted(self._calls.items())
        )


def in_pieces(delta: Delta) -> Iterator[Delta]:
    """The same in pieces of bounded length; nearly always it is one already."""
    match delta:
        case TextDelta(text, logprobs) if len(text) > LONGEST_PIECE:
            first, *rest = _cut(text)
            yield TextDelta(first, logprobs)
            yield from map(TextDelta, rest)
        case ReasoningDelta(text) if len(text) > LONGEST_PIECE:
            yield from map(ReasoningDelta, _cut(text))
        case ToolCallDelta(index, arguments) if len(arguments) > LONGEST_PIECE:
            first, *rest = _cut(arguments)
            yield ToolCallDelta(index, first, delta.id, delta.name)
            yield from (ToolCallDelta(index, each) for each in rest)
        case _:
            yield delta


def size_of(delta: Delta) -> int:
    """About how many characters it takes to keep a delta."""
    match delta:
        case TextDelta(text, logprobs):
            return len(text) + (len(str(logprobs)) if logprobs else 0)
        case ReasoningDelta(text):
            return len(text)
        case ToolCallDelta():
            return len(delta.arguments)


def _cut(text: str) -> list[str]:
    return [text[at : at + LONGEST_PIECE] for at in range(0, len(text), LONGEST_PIECE)]
