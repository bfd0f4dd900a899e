"""Functions a model may ask its caller to run, and what it asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function the caller offers."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    """JSON Schema of its arguments; None takes none."""
    strict: bool = False
    """Whether the arguments must keep to the schema exactly."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asked for."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; it may be wrong."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call has come to, as the caller tells it."""

    call_id: str
    text: str


class ToolMode(StrEnum):
    """How free the model is to call."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model is to call a function, and which."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    """With `REQUIRED`: the one function to call."""
