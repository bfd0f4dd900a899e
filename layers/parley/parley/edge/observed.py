"""Every request as an operator sees it: one line, whatever answered and however it ended."""

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.telemetry import spans, work
from parley.telemetry.spans import SERVER, Span
from parley.telemetry.traces import parse

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_OTHER: Final = "_OTHER"
"""OpenTelemetry's name for methods that callers make up."""


class Observed:
    """Around an application: begins a span, names the request in its reply, leaves the line."""

    def __init__(self, app: ASGIApp, *, identify: Callable[[Scope], str]) -> None:
        """Put it around `app`; `identify` finds the id a request stands under in every log."""
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; what isn't one passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        parent = parse(headers.getlist("traceparent"), headers.getlist("tracestate"))
        span = Span(method, kind=SERVER, parent=parent)
        span.attributes["http.request.method"] = method
        request = self._identify(scope)
        status: int | None = None

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(scope=message)
                sent["x-request-id"] = request
                sent["traceparent"] = span.trace.parent
            await send(message)

        with spans.entered(span, request_id=request):
            try:
                await self._app(scope, receive, told)
            except (ClientDisconnect, OSError):  # nobody is left to be answered: no failure of ours
                raise
            except Exception:
                status = 500
                raise
            finally:
                work.leave(span, status)


def label(dialect: str, route: str | None) -> None:
    """Say what the request is: a dialect, and the template of its path where it has one."""
    span = spans.current()
    if span is not None:
        span.attributes["dialect"] = dialect
        if route is not None:
            span.attributes["http.route"] = route
            span.name = f"{span.name} {route}"
