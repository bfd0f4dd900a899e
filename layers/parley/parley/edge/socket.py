"""Lambda's entry for what happens on a WebSocket API, and for the jobs that leaves.

API Gateway tells of a connection in events: CONNECT asks whether it may be, MESSAGE brings what the
client says, DISCONNECT tells that it has ended. A handler here is an asynchronous function of a
typed event; what it raises becomes a status or a frame.
"""

import base64
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from parley.adapters.workers import from_event
from parley.bootstrap_live import live_chats
from parley.dialects.tenant.errors import envelope
from parley.domain.errors import InvalidRequest, ParleyError, RateLimited
from parley.domain.sockets import Connection, Job
from parley.edge.loops import loop_of_this_thread
from parley.edge.statuses import status_of
from parley.telemetry import spans, work
from parley.telemetry.spans import SERVER, Span
from parley.telemetry.traces import TraceContext, read

log = logging.getLogger(__name__)

T = TypeVar("T")

TENANT = "tenant"
"""The dialect that live chats are part of."""

Event = Mapping[str, Any]
Handler = Callable[[Event, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """What happens on a connection."""

    connection: str
    request_id: str
    headers: Mapping[str, str]
    """By names in lower case; only CONNECT has the client's."""
    query: Mapping[str, str]
    body: str | bytes
    """Bytes where a client sends them."""

    @classmethod
    def read(cls, event: Event) -> Self:
        """The event as API Gateway sends it."""
        context = event["requestContext"]
        body: str = event.get("body") or ""
        headers: Mapping[str, str] = event.get("headers") or {}
        return cls(
            connection=context["connectionId"],
            request_id=context["requestId"],
            headers={name.lower(): value for name, value in headers.items()},
            query=event.get("queryStringParameters") or {},
            body=base64.b64decode(body) if event.get("isBase64Encoded") else body,
        )

    @property
    def credential(self) -> str | None:
        """The API key or token, from a header or, as browsers can't set any, the query."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return self.headers.get("x-api-key") or self.query.get("api_key")

    @property
    def is_browsers(self) -> bool:
        """Whether a browser asks; it doesn't show its page the status of a handshake."""
        return "origin" in self.headers

    @property
    def text(self) -> str:
        """What the client says.

        Raises:
            InvalidRequest: it isn't text.
        """
        if isinstance(self.body, bytes):
            try:
                return self.body.decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest("The frame isn't valid UTF-8.") from error
        return self.body


def socket_handler(answer: Callable[[SocketEvent], Awaitable[None]]) -> Handler:
    """A handler for events of connections; an error becomes the status of its kind."""

    async def handle(event: SocketEvent) -> dict[str, Any]:
        try:
            await answer(event)
        except Exception as error:  # noqa: BLE001 - whatever failed, the client gets an envelope
            shown = as_domain_error(error)
            work.failed(shown.code, is_limit=isinstance(shown, RateLimited))
            status = status_of(shown)
            return {"statusCode": status, "body": json.dumps(envelope(shown, status))}
        return {"statusCode": 200}

    async def observed(event: SocketEvent, route: str) -> dict[str, Any]:
        parent = read(event.headers)
        span = Span(f"WS {route}", kind=SERVER, parent=parent)
        span.attributes |= {"dialect": TENANT, "http.route": route}
        with spans.entered(span, request_id=event.request_id, connection=event.connection):
            answered = await handle(event)
            work.leave(span, answered["statusCode"])
        return answered

    def handler(event: Event, _context: Any) -> dict[str, Any]:
        return _run(observed(SocketEvent.read(event), event["requestContext"]["routeKey"]))

    return handler


def job_handler(perform: Callable[[Job], Coroutine[Any, Any, None]]) -> Handler:
    """A handler for invocations that carry a job."""

    async def observed(job: Job, parent: TraceContext | None, request: str) -> None:
        span = Span(f"job {type(job).__name__}", kind="consumer", parent=parent)
        span.attributes["dialect"] = TENANT
        connection = job.connection if isinstance(job.connection, Connection) else None
        told = {"tenant": connection.tenant, "connection": connection.id} if connection else {}
        status = 500
        with spans.entered(span, request_id=request, **told):
            try:
                await perform(job)
                status = 200
            finally:
                work.leave(span, status)

    def handler(event: Event, context: Any) -> dict[str, Any]:
        _run(observed(from_event(event), read(event), context.aws_request_id))
        return {}

    return handler


async def refuse_visibly(event: SocketEvent, error: ParleyError) -> None:
    """Show a client why it can't connect: by the handshake's status, or in a frame.

    Raises:
        ParleyError: the error itself, where its status is what the client sees.
    """
    if not event.is_browsers:
        raise error
    await live_chats().refuse(event.connection, error)


def as_domain_error(error: Exception) -> ParleyError:
    """The error as a client may see it."""
    if isinstance(error, ParleyError):
        return error
    log.error("a socket route failed in a way nobody foresaw", exc_info=error)
    return ParleyError("Something went wrong on our side. Please try again.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return loop_of_this_thread().run_until_complete(work)
