"""Lambda's entry for what happens on a WebSocket API, and for the jobs that leaves.

API Gateway tells of a connection in events: CONNECT asks whether it may be, MESSAGE brings what the
client says, DISCONNECT tells that it has ended. A handler here is an asynchronous function of a
typed event; what it raises becomes a status or a frame.
"""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from parley.adapters.workers import from_event
from parley.bootstrap_live import live_chats
from parley.dialects.tenant.errors import envelope
from parley.domain.errors import InvalidRequest, ParleyError
from parley.domain.sockets import Job
from parley.edge.statuses import status_of

log = logging.getLogger(__name__)

T = TypeVar("T")

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
            status = status_of(shown)
            return {"statusCode": status, "body": json.dumps(envelope(shown, status))}
        return {"statusCode": 200}

    def handler(event: Event, _context: Any) -> dict[str, Any]:
        began = time.perf_counter()
        happened = SocketEvent.read(event)
        answered = _run(handle(happened))
        log.info(
            "socket",
            extra={
                "request_id": happened.request_id,
                "connection": happened.connection,
                "route": event["requestContext"]["routeKey"],
                "status": answered["statusCode"],
                "elapsed_ms": round((time.perf_counter() - began) * 1000, 1),
            },
        )
        return answered

    return handler


def job_handler(perform: Callable[[Job], Coroutine[Any, Any, None]]) -> Handler:
    """A handler for invocations that carry a job."""

    def handler(event: Event, _context: Any) -> dict[str, Any]:
        began = time.perf_counter()
        job = from_event(event)
        _run(perform(job))
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        log.info("job", extra={"job": type(job).__name__, "elapsed_ms": elapsed})
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
    """Run in this thread's event loop, which lives from one invocation to the next."""
    try:
        loop = asyncio.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop.run_until_complete(work)
