"""The local REST API as one ASGI application: gateway and functions on one port."""

import base64
import logging
import time
from datetime import UTC, datetime

from local import signatures
from local.asgi import Message, Receive, Scope, Send
from local.gateway import (
    MAX_EVENT_BYTES,
    MAX_REQUEST_BYTES,
    Event,
    Gateway,
    MalformedResponseError,
    Request,
    Response,
    event_size,
    own_headers,
)
from local.intrinsics import Evaluator
from local.lifespan import live
from local.routes import Match, Router, routes
from local.runtime import Invoker, LambdaContext, adapter_headers, load_module
from local.signatures import UnsignedError
from local.template import Template

LONGEST_SHOWN_PATH = 100

logger = logging.getLogger(__name__)


class LocalApi:
    """Answers as the deployed REST API would, with the handlers called in this process."""

    def __init__(self, template: Template) -> None:
        """Read the routes and import the functions behind them."""
        evaluator = Evaluator(template)
        declared = routes(template, evaluator)
        self._router = Router(declared)
        self._gateway = Gateway(template, evaluator)
        self._invoker = Invoker()
        self._streaming = {
            route.function.module: load_module(route.function).app
            for route in declared
            if route.streams
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, or the lives of the streaming applications."""
        match scope["type"]:
            case "lifespan":
                await live(self._streaming.values(), receive, send)
            case "http":
                access = _AccessLog(scope, send)
                try:
                    await self._serve(scope, receive, access.send)
                except ConnectionError:
                    pass  # the client left before its request was complete: nobody waits
                finally:
                    access.close()
            case other:
                raise NotImplementedError(f"The local stack doesn't serve {other}.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        request = _request(scope, body or b"")
        match = self._router.match(request.method, request.path)
        if match is None:
            answer = self._gateway.answer(
                request, "MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token"
            )
            await respond(send, answer)
            return
        try:
            signer = (
                signatures.signer(request, datetime.now(UTC)) if match.route.is_signed else None
            )
        except UnsignedError as error:
            await respond(send, self._gateway.answer(request, error.kind, 403, error.message))
            return
        event = self._gateway.event(request, match, signer)
        if body is None or event_size(event) > MAX_EVENT_BYTES:
            answer = self._gateway.answer(
                request, "REQUEST_TOO_LARGE", 413, "Request Entity Too Large"
            )
            await respond(send, answer)
        elif match.route.streams:
            await self._stream(scope, receive, _marked(send, request), match, event)
        else:
            await respond(send, await self._invoke(request, match, event))

    async def _invoke(self, request: Request, match: Match, event: Event) -> Response:
        function = match.route.function
        context = LambdaContext.begin(function, request.id)
        try:
            result = await self._invoker.invoke(function, event, context)
            return self._gateway.response(request, result)
        except TimeoutError:
            logger.warning("%s took longer than %s s", function.handler, function.timeout)
            return self._gateway.answer(
                request, "INTEGRATION_TIMEOUT", 504, "Endpoint request timed out"
            )
        except MalformedResponseError as error:
            logger.warning("%s returned no proxy response: %s", function.handler, error)
        except Exception:  # as Lambda reports whatever a handler raises
            logger.exception("%s raised", function.handler)
        return self._gateway.answer(request, "DEFAULT_5XX", 502, "Internal server error")

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, match: Match, event: Event
    ) -> None:
        """Hand the request to the function's ASGI application, as the Lambda Web Adapter does."""
        function = match.route.function
        context = LambdaContext.begin(function, event["requestContext"]["requestId"])
        added = dict(adapter_headers(event, context))
        headers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, values in event["multiValueHeaders"].items()
            for value in values
            if name.lower() not in added
        ]
        headers += [(name.encode(), value.encode()) for name, value in added.items()]
        application = self._streaming[function.module]
        await application({**scope, "headers": headers}, _replay(_bytes(event), receive), send)


class _AccessLog:
    """Passes messages on and says in one line what became of the request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        # As it stood in the request line: what is percent-encoded there can't disturb a terminal.
        path = scope["raw_path"].decode("latin-1")
        self._line = f"{scope['method']} {path[:LONGEST_SHOWN_PATH]}"
        self._send = send
        self._began = time.monotonic()
        self._status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    def close(self) -> None:
        elapsed = (time.monotonic() - self._began) * 1000
        logger.info("%s %s %.0f ms", self._line, self._status or "no answer", elapsed)


async def _read(receive: Receive) -> bytes | None:
    """The request's body, or None when it is too large; it is read to its end even then.

    A client that is still sending wouldn't see an answer.

    Raises:
        ConnectionError: the client left before it had sent everything.
    """
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_REQUEST_BYTES:
            chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks) if size <= MAX_REQUEST_BYTES else None


def _request(scope: Scope, body: bytes) -> Request:
    address, _ = scope["client"]
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ],
        body=body,
        source_ip=address,
        protocol=f"HTTP/{scope['http_version']}",
    )


async def read_request(scope: Scope, receive: Receive) -> Request:
    """A request with its whole body; one that is too large comes without.

    Raises:
        ConnectionError: the client left before it had sent everything.
    """
    return _request(scope, await _read(receive) or b"")


async def respond(send: Send, response: Response) -> None:
    """Send a response."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers
        if name.lower() not in _OF_THE_CONNECTION
    ]
    length = (b"content-length", str(len(response.body)).encode())
    await send(
        {"type": "http.response.start", "status": response.status, "headers": [*headers, length]}
    )
    await send({"type": "http.response.body", "body": response.body})


_OF_THE_CONNECTION = {"connection", "content-length", "transfer-encoding"}


def _marked(send: Send, request: Request) -> Send:
    """Add the gateway's own headers to a response that passes through."""

    async def mark(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in own_headers(request)]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return mark


def _bytes(event: Event) -> bytes:
    body: str = event["body"] or ""
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Deliver a body that has been read already, then what the client does next."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
