"""Units of work: what one took, what happened during it, and the one line that it leaves."""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from parley.telemetry.metrics import MOST_VALUES, UNITS, embedded
from parley.telemetry.traces import TraceContext

log = logging.getLogger("parley.telemetry")

SERVER: Final = "server"
"""The kind of work that somebody waits for the answer of."""

ANY: Final = "-"
"""Stands for a dimension's value where there is none."""

_deployment = ANY
_span: ContextVar["Span | None"] = ContextVar("parley_span", default=None)
_fields: ContextVar[Mapping[str, str]] = ContextVar("parley_fields", default={})  # noqa: B039 - nobody changes it


class Span:
    """A unit of work, from its making to `end`."""

    def __init__(self, name: str, *, kind: str, parent: TraceContext | None = None) -> None:
        """Begin now.

        Args:
            name: what is done, as a dashboard may group it: no ids.
            kind: `server`, `consumer` or `internal`, as OpenTelemetry has it.
            parent: what it belongs to; None begins a trace.
        """
        self.name = name
        self.kind = kind
        self.trace = parent.child() if parent else TraceContext.begin()
        self.attributes: dict[str, Any] = {}
        """What the line says besides, by OpenTelemetry's names where it has some."""
        self.error: str | None = None
        """The code of what went wrong."""
        self._parent_id = parent.span_id if parent else None
        self._started_at = time.time()
        self._began = time.perf_counter()
        self._measured: dict[str, list[float]] = {}
        self._ended = False

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter() - self._began) * 1000

    def measure(self, metric: str, value: float) -> None:
        """Add one value to a metric; what comes after the end, or after `MOST_VALUES`, is lost."""
        values = self._measured.setdefault(metric, [])
        if len(values) < MOST_VALUES:
            values.append(value)

    def enter(self) -> None:
        """Make it the current one for the rest of this task, and of tasks made in it."""
        _span.set(self)
        bind(trace_id=self.trace.trace_id, span_id=self.trace.span_id)

    def end(self, dimensions: Mapping[str, str], sets: Sequence[Sequence[str]]) -> None:
        """Leave the line; only once.

        Args:
            dimensions: of its metrics, besides the deployment.
            sets: combinations of them that the metrics are kept by; the deployment is in each.
        """
        if self._ended:
            return
        self._ended = True
        line = {
            "span_name": self.name,
            "span_kind": self.kind,
            "trace_id": self.trace.trace_id,
            "span_id": self.trace.span_id,
            "parent_span_id": self._parent_id,
            "start_time": round(self._started_at, 6),
            "duration_ms": round(self.elapsed_ms, 1),
            "error.type": self.error,
            **self.attributes,
            **embedded(
                {
                    name: [round(value, 2) for value in values]
                    for name, values in self._measured.items()
                },
                {"Stack": _deployment, **dimensions},
                [["Stack", *each] for each in sets],
                error=self.error if "Errors" in self._measured else None,
            ),
        }
        log.info("%s", self.kind, extra={k: v for k, v in line.items() if v is not None})


def current() -> Span | None:
    """The unit of work that this task is part of."""
    return _span.get()


def measure(metric: str, value: float) -> None:
    """Add one value to a metric of the current unit of work; lost where there is none.

    Raises:
        KeyError: there is no such metric in `UNITS`.
    """
    UNITS[metric]
    span = _span.get()
    if span is not None:
        span.measure(metric, value)


def bind(**fields: str | None) -> None:
    """Have these fields on every line of the rest of this task, and of tasks made in it."""
    _fields.set({**_fields.get(), **{name: text for name, text in fields.items() if text}})


def bound() -> Mapping[str, str]:
    """The fields of this task's lines."""
    return _fields.get()


def propagated() -> dict[str, str]:
    """Headers that tell a system called now which trace it is called for."""
    span = _span.get()
    return span.trace.headers if span else {}


@contextmanager
def entered(span: Span, **fields: str | None) -> Generator[Span, None, None]:
    """Make a unit of work the current one for the length of a block, with these fields."""
    outer_span, outer_fields = _span.get(), _fields.get()
    span.enter()
    bind(**fields)
    try:
        yield span
    finally:
        # A coroutine that nobody finishes is closed wherever its memory is claimed back, amid
        # other work, whose span and fields are not to be touched.
        if _span.get() is span:
            _span.set(outer_span)
            _fields.set(outer_fields)


def name_deployment(name: str) -> None:
    """Say which deployment's metrics these are."""
    global _deployment  # noqa: PLW0603 - a process belongs to one deployment
    _deployment = name
