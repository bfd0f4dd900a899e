"""W3C Trace Context: who asked for this, across processes and companies.

Read by the rules of https://www.w3.org/TR/trace-context/: what isn't valid to the letter is as if
it weren't there, and a new trace begins.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

NAMES: Final = ("traceparent", "tracestate")
"""Of the headers."""

SAMPLED = 0x01
"""The one flag of version 00; whoever asks has kept its part of the trace."""

MOST_MEMBERS = 32
LONGEST_STATE = 512
"""Characters of a `tracestate` that every participant passes on."""

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace: the trace, and the span that what is called now belongs to."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    flags: int = SAMPLED
    state: str = ""
    """What other systems have noted of the trace, to be passed on as it is."""

    @classmethod
    def begin(cls) -> Self:
        """A trace of its own."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return replace(self, span_id=secrets.token_hex(8))

    @property
    def parent(self) -> str:
        """The value of a `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def headers(self) -> dict[str, str]:
        """What is sent along with a request that belongs to the span."""
        headers = {"traceparent": self.parent}
        return {**headers, "tracestate": self.state} if self.state else headers


def parse(parents: Sequence[str], states: Sequence[str] = ()) -> TraceContext | None:
    """What a caller says of its trace; None where it says nothing that is valid.

    Args:
        parents: the values of all `traceparent` headers, of which there may be one.
        states: the values of all `tracestate` headers; invalid ones don't spoil the trace.
    """
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None or found["version"] == "ff":
        return None
    if found["version"] == "00" and found["rest"] is not None:
        return None  # only later versions may have more to say
    if not found["trace"].strip("0") or not found["span"].strip("0"):
        return None
    flags = int(found["flags"], 16) & SAMPLED
    return TraceContext(found["trace"], found["span"], flags, _state(",".join(states)))


def read(headers: Mapping[str, Any]) -> TraceContext | None:
    """The same of headers that have one value each, by names in lower case."""
    return parse(*([headers[name]] if name in headers else [] for name in NAMES))


def _state(said: str) -> str:
    members = [member for each in said.split(",") if (member := each.strip(" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match["key"] for match in matches if match}
    is_valid = len(keys) == len(members) <= MOST_MEMBERS
    state = ",".join(members)
    return state if is_valid and len(state) <= LONGEST_STATE else ""
