"""What API Gateway's WebSocket APIs do around Lambda functions: connections and their events."""

import asyncio
import base64
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.asgi import Message, Receive, Scope, Send
from local.gateway import Event, Request, Response, forwarded_headers, multiple
from local.intrinsics import Evaluator
from local.routes import Function, functions
from local.runtime import LambdaContext
from local.template import Template, TemplateError, resources

PATH = "/ws/chat"
"""Where the API is served here; deployed, it has a domain of its own."""

MAX_MESSAGE_BYTES = 128 * 1024
"""The longest message that may be sent, or posted to a client."""

IDLE_SECONDS = 10 * 60
LONGEST_SECONDS = 2 * 60 * 60

GOING_AWAY = 1001
NORMAL = 1000

_MANAGED = re.compile(r"/@connections/([^/]+)")

Invoke = Callable[[Function, Event, LambdaContext], Awaitable[object]]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """An open connection."""

    id: str
    send: Send
    connected_at: float
    context: Mapping[str, Any]
    """What all of its events tell."""
    active_at: float

    def touch(self) -> None:
        self.active_at = time.time()


class SocketGateway:
    """One WebSocket API: its routes, its open connections and what manages them."""

    def __init__(self, template: Template, evaluator: Evaluator, invoke: Invoke) -> None:
        """Read the routes."""
        self._invoke = invoke
        self._open: dict[str, _Open] = {}
        by_name = {function.name: function for function, _ in functions(template, evaluator)}
        _, api = next(resources(template, "AWS::Serverless::WebSocketApi"), ("", {}))
        self._stage = str(evaluator.evaluate(api.get("StageName", "default")))
        self._routes = {
            key: by_name[_function_name(route)] for key, route in api.get("Routes", {}).items()
        }

    def serves(self, scope: Scope) -> bool:
        """Whether a WebSocket handshake is for this API."""
        return bool(self._routes) and scope["path"] == PATH

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection from its handshake to its end."""
        await receive()
        connection_id = base64.b64encode(secrets.token_bytes(11)).decode()
        request = _request(scope)
        connected_at = time.time()
        common: dict[str, Any] = {
            "stage": self._stage,
            "connectedAt": int(connected_at * 1000),
            "identity": _identity(request),
            "domainName": request.header("host").rpartition(":")[0] or request.header("host"),
            "connectionId": connection_id,
            "apiId": "local",
        }
        result = await self._call("$connect", "CONNECT", common, **_asked(request))
        status = _status(result)
        if not 200 <= status < 300:
            await _refuse(send, status, result)
            return
        await send({"type": "websocket.accept", **_subprotocol(result)})
        connection = _Open(connection_id, send, connected_at, common, connected_at)
        self._open[connection_id] = connection
        code, reason = GOING_AWAY, "Going away"
        messages: set[asyncio.Task[None]] = set()
        try:
            while (message := await self._next(connection, receive)) is not None:
                if message["type"] == "websocket.disconnect":
                    code, reason = message.get("code") or 1006, message.get("reason") or ""
                    break
                connection.touch()
                task = asyncio.create_task(self._take(connection, message))
                messages.add(task)  # side by side: API Gateway doesn't wait, either
                task.add_done_callback(messages.discard)
            else:
                await send({"type": "websocket.close", "code": code, "reason": reason})
        finally:
            del self._open[connection_id]
            headers: dict[str, str] = {
                "Host": common["domainName"],
                "x-api-key": "",
                "x-restapi": "",
            }
            await self._call(
                "$disconnect",
                "DISCONNECT",
                {**common, "disconnectStatusCode": code, "disconnectReason": reason},
                headers=headers,
                multiValueHeaders=multiple(headers.items()),
            )

    async def manage(self, request: Request) -> Response | None:
        """Answer a call of the @connections API; None where it is none."""
        found = _MANAGED.fullmatch(request.path)
        return found and await self._manage(request, unquote(found[1]))

    async def _manage(self, request: Request, connection_id: str) -> Response:
        if not request.header("authorization").startswith("AWS4-HMAC-SHA256 "):
            return _error(403, "MissingAuthenticationToken", "Missing Authentication Token")
        connection = self._open.get(connection_id)
        if connection is None:
            return _error(410, "GoneException", "")
        match request.method:
            case "POST":
                return await self._post(connection, request.body)
            case "GET":
                return _json(200, _shown(connection))
            case "DELETE":
                return await self._close(connection)
        return _error(403, "MissingAuthenticationToken", "Missing Authentication Token")

    async def _close(self, connection: _Open) -> Response:
        reason = "Connection Closed Normally"
        await connection.send({"type": "websocket.close", "code": NORMAL, "reason": reason})
        return Response(204, [], b"")

    async def _post(self, connection: _Open, data: bytes) -> Response:
        if len(data) > MAX_MESSAGE_BYTES:
            return _error(413, "PayloadTooLargeException", "Message too long")
        connection.touch()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            message: Message = {"type": "websocket.send", "bytes": data}
        else:
            message = {"type": "websocket.send", "text": text}
        try:
            await connection.send(message)
        except (OSError, RuntimeError):  # it has ended in this moment
            return _error(410, "GoneException", "")
        return Response(200, [], b"")

    async def _next(self, connection: _Open, receive: Receive) -> Message | None:
        """What a client sends next; None once it has been idle, or there, for too long."""
        receiving = asyncio.ensure_future(receive())
        while True:
            ends = min(
                connection.active_at + IDLE_SECONDS, connection.connected_at + LONGEST_SECONDS
            )
            left = ends - time.time()
            if left <= 0:
                receiving.cancel()
                return None
            done, _ = await asyncio.wait({receiving}, timeout=left)
            if done:
                return receiving.result()

    async def _take(self, connection: _Open, message: Message) -> None:
        """Bring one message to the function behind `$default`."""
        data: bytes | None = message.get("bytes")
        body = message.get("text") or "" if data is None else base64.b64encode(data).decode()
        result = await self._call(
            "$default",
            "MESSAGE",
            {**connection.context, "messageId": _id()},
            body=body,
            isBase64Encoded=data is not None,
        )
        if result is None:
            failure = {
                "message": "Internal server error",
                "connectionId": connection.id,
                "requestId": _id(),
            }
            await self._post(connection, json.dumps(failure).encode())

    async def _call(
        self, route: str, kind: str, context: Mapping[str, Any], **fields: Any
    ) -> object:
        """What the function behind a route returns; None where it fails."""
        function = self._routes.get(route)
        if function is None:
            return {"statusCode": 200}
        request_id, now = _id(), datetime.now(UTC)
        event: Event = {
            "isBase64Encoded": False,
            **fields,
            "requestContext": {
                **context,
                "routeKey": route,
                "eventType": kind,
                "messageDirection": "IN",
                "requestId": request_id,
                "extendedRequestId": request_id,
                "requestTime": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
                "requestTimeEpoch": int(now.timestamp() * 1000),
            },
        }
        try:
            result = await self._invoke(function, event, LambdaContext.begin(function, request_id))
        except Exception:  # as Lambda reports whatever a handler raises
            logger.exception("%s failed on %s", function.handler, route)
            return None
        logger.info("%s %s %s", PATH, route, _status(result))
        return result


def _function_name(route: Mapping[str, Any]) -> str:
    match route.get("FunctionArn"):
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
    raise TemplateError("A WebSocket route's FunctionArn must be the Arn of a function.")


def _request(scope: Scope) -> Request:
    address, _ = scope["client"]
    return Request(
        method="GET",
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ],
        body=b"",
        source_ip=address,
    )


def _asked(request: Request) -> dict[str, Any]:
    """What a CONNECT event has beside its context."""
    headers = forwarded_headers(request)
    query = parse_qsl(request.query, keep_blank_values=True, errors="replace")
    asked: dict[str, Any] = {
        "headers": dict(headers),
        "multiValueHeaders": multiple(headers),
    }
    if query:
        asked["queryStringParameters"] = dict(query)
        asked["multiValueQueryStringParameters"] = multiple(query)
    return asked


def _identity(request: Request) -> dict[str, str]:
    agent = request.header("user-agent")
    return {"sourceIp": request.source_ip, **({"userAgent": agent} if agent else {})}


def _status(result: object) -> int:
    """The status that a function's result stands for; one that isn't a response is a 502."""
    status = result.get("statusCode") if isinstance(result, Mapping) else None
    return status if isinstance(status, int) else 502


async def _refuse(send: Send, status: int, result: object) -> None:
    body = result.get("body") if isinstance(result, Mapping) else None
    data = str(body or json.dumps({"message": "Internal server error"})).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": data})


def _subprotocol(result: object) -> dict[str, str]:
    headers = result.get("headers") if isinstance(result, Mapping) else None
    for name, value in (headers or {}).items():
        if name.lower() == "sec-websocket-protocol":
            return {"subprotocol": value}
    return {}


def _shown(connection: _Open) -> dict[str, Any]:
    """A connection as GetConnection shows it."""
    return {
        "connectedAt": _moment(connection.connected_at),
        "identity": connection.context["identity"],
        "lastActiveAt": _moment(connection.active_at),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _error(status: int, kind: str, message: str) -> Response:
    shown = _json(status, {"message": message})
    return Response(status, [*shown.headers, ("x-amzn-ErrorType", kind)], shown.body)


def _json(status: int, body: Mapping[str, Any]) -> Response:
    return Response(status, [("Content-Type", "application/json")], json.dumps(body).encode())


def _id() -> str:
    return base64.b64encode(secrets.token_bytes(11)).decode()
