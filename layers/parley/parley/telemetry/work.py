"""Work that somebody asked for: requests, events of connections, jobs."""

from typing import Final

from parley.telemetry import spans
from parley.telemetry.spans import ANY, SERVER, Span

_SETS: Final = ((), ("Dialect",))
"""What its metrics are kept by."""

_UNFORESEEN: Final = "internal_error"


def failed(code: str, *, is_limit: bool = False) -> None:
    """Say why what was asked for isn't done.

    Args:
        code: of the error.
        is_limit: whether a limit of the tenant's is reached.
    """
    span = spans.current()
    if span is not None:
        span.error = code
    if is_limit:
        spans.measure("LimitsHit", 1)


def leave(span: Span, status: int | None) -> None:
    """End a unit of work and count it.

    Args:
        status: in HTTP's words; None where nobody was left to be told one.
    """
    if status is not None:
        span.attributes["http.response.status_code"] = status
        if status >= 400:
            span.error = span.error or _UNFORESEEN
        if status >= 500:
            span.measure("ServerErrors", 1)
    if span.error is not None:
        span.measure("Errors", 1)
    if span.kind == SERVER:  # a job was asked for by a request, which has been counted
        span.measure("Requests", 1)
        span.measure("Latency", span.elapsed_ms)
    span.end({"Dialect": span.attributes.get("dialect", ANY)}, _SETS)
