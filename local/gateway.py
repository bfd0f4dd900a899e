"""What API Gateway's REST APIs do around a Lambda function: events, responses, its own answers."""

import base64
import binascii
import json
import re
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from local.intrinsics import ACCOUNT, Evaluator
from local.routes import Match
from local.template import Template, resources

MAX_REQUEST_BYTES = 10 * 1024 * 1024
"""The largest request API Gateway takes."""

MAX_EVENT_BYTES = 6 * 1024 * 1024
"""The largest event Lambda takes, and the largest response it gives whole."""

API_ID = "local"

Headers = list[tuple[str, str]]
Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request as it came in; `path` is what stood in the request line, percent-encoded."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def header(self, name: str) -> str:
        """The last value of a header, empty where there is none."""
        return next((value for key, value in reversed(self.headers) if key.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response with its whole body."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed a request with AWS credentials."""

    access_key: str
    id: str
    arn: str


class MalformedResponseError(Exception):
    """A function returned something that isn't a proxy response."""


class Gateway:
    """One REST API: its stage, what it takes for binary, and the answers it gives by itself."""

    def __init__(self, template: Template, evaluator: Evaluator) -> None:
        shared = (template.get("Globals") or {}).get("Api") or {}
        own = next((api for _, api in resources(template, "AWS::Serverless::Api")), {})
        properties = evaluator.evaluate(
            {
                name: value
                for name, value in (shared | own).items()
                if name in {"StageName", "BinaryMediaTypes", "GatewayResponses"}
            }
        )
        self._stage = str(properties.get("StageName", "local"))
        self._binary = [kind.replace("~1", "/") for kind in properties.get("BinaryMediaTypes", [])]
        self._answers: Mapping[str, Any] = properties.get("GatewayResponses") or {}

    def event(self, request: Request, match: Match, signer: Signer | None = None) -> Event:
        """The proxy event, payload format 1.0, that the matched function is invoked with.

        Args:
            signer: who has signed the request, where the route asks for that.
        """
        headers = forwarded_headers(request)
        query = parse_qsl(request.query, keep_blank_values=True, errors="replace")
        is_binary = self._is_binary(request.header("content-type"))
        return {
            "resource": match.route.resource,
            "path": request.path,
            "httpMethod": request.method,
            "headers": dict(headers),
            "multiValueHeaders": multiple(headers),
            "queryStringParameters": dict(query) or None,
            "multiValueQueryStringParameters": multiple(query) or None,
            "pathParameters": dict(match.path_parameters) or None,
            "stageVariables": None,
            "requestContext": self._context(request, match.route.resource, signer),
            "body": _text(request.body, is_binary=is_binary),
            "isBase64Encoded": is_binary and bool(request.body),
        }

    def response(self, request: Request, result: object) -> Response:
        """What the client gets for what a function returned.

        Raises:
            MalformedResponseError: the result isn't a proxy response.
        """
        if not isinstance(result, Mapping):
            raise MalformedResponseError(f"{type(result).__name__} is not a proxy response")
        try:
            status = int(result["statusCode"])
            headers = _response_headers(result)
            body = (result.get("body") or "").encode()
            if result.get("isBase64Encoded") and self._is_binary(request.header("accept")):
                body = base64.b64decode(body, validate=True)
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise MalformedResponseError(str(error)) from error
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        return Response(status, [*headers, *own_headers(request)], body)

    def answer(self, request: Request, kind: str, status: int, message: str) -> Response:
        """The API's own answer of one kind, as the template's `GatewayResponses` shape it."""
        family = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
        shape = self._answers.get(kind) or self._answers.get(family) or {}
        error = {"message": message, "messageString": json.dumps(message), "responseType": kind}
        context = self._context(request, "") | {"error": error}
        headers = (shape.get("ResponseParameters") or {}).get("Headers") or {}
        template = (shape.get("ResponseTemplates") or {}).get(
            "application/json", '{"message":$context.error.messageString}'
        )
        return Response(
            int(shape.get("StatusCode", status)),
            [
                ("Content-Type", "application/json"),
                *((name, _parameter(value, context)) for name, value in headers.items()),
                *own_headers(request),
            ],
            _fill(template, context).encode(),
        )

    def _context(
        self, request: Request, resource: str, signer: Signer | None = None
    ) -> dict[str, Any]:
        now = datetime.now(UTC)
        host = request.header("host").rpartition(":")[0] or request.header("host")
        return {
            "resourceId": "local",
            "resourcePath": resource,
            "httpMethod": request.method,
            "extendedRequestId": secrets.token_urlsafe(8) + "=",
            "requestTime": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
            "path": request.path,
            "accountId": ACCOUNT,
            "protocol": request.protocol,
            "stage": self._stage,
            "domainPrefix": host.partition(".")[0],
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "requestId": request.id,
            "identity": {
                "cognitoIdentityPoolId": None,
                "accountId": signer and ACCOUNT,
                "cognitoIdentityId": None,
                "caller": signer and signer.id,
                "sourceIp": request.source_ip,
                "principalOrgId": None,
                "accessKey": signer and signer.access_key,
                "cognitoAuthenticationType": None,
                "cognitoAuthenticationProvider": None,
                "userArn": signer and signer.arn,
                "userAgent": request.header("user-agent") or None,
                "user": signer and signer.id,
            },
            "domainName": host,
            "deploymentId": "local",
            "apiId": API_ID,
        }

    def _is_binary(self, media_types: str) -> bool:
        first = media_types.partition(",")[0].partition(";")[0].strip().lower()
        return any(kind in {"*/*", first} for kind in self._binary)


def event_size(event: Event) -> int:
    """Bytes that Lambda counts for an event."""
    return len(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))


_CANONICAL = {"host": "Host", "user-agent": "User-Agent"}


def forwarded_headers(request: Request) -> Headers:
    """A request's headers as the gateway hands them on, with those that it adds."""
    headers = [(_CANONICAL.get(name.lower(), name), value) for name, value in request.headers]
    forwarded = request.header("x-forwarded-for")
    _, _, port = request.header("host").rpartition(":")
    added = {
        "X-Amzn-Trace-Id": f"Root=1-{int(time.time()):x}-{secrets.token_hex(12)}",
        "X-Forwarded-For": ", ".join(filter(None, [forwarded, request.source_ip])),
        "X-Forwarded-Port": port if port.isdigit() else "80",
        "X-Forwarded-Proto": "http",
    }
    replaced = {name.lower() for name in added}
    return [
        *((name, value) for name, value in headers if name.lower() not in replaced),
        *added.items(),
    ]


def own_headers(request: Request) -> Headers:
    """What the gateway adds to every response."""
    return [("x-amzn-RequestId", request.id), ("x-amz-apigw-id", secrets.token_urlsafe(8) + "=")]


def multiple(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values by name."""
    collected: dict[str, list[str]] = {}
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected


def _text(body: bytes, *, is_binary: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if is_binary else body.decode("utf-8", "replace")


def _response_headers(result: Mapping[str, Any]) -> Headers:
    multiple = result.get("multiValueHeaders") or {}
    listed = {name.lower() for name in multiple}
    return [
        *(
            (name, _header_value(value))
            for name, value in (result.get("headers") or {}).items()
            if name.lower() not in listed
        ),
        *((name, _header_value(value)) for name, values in multiple.items() for value in values),
    ]


def _header_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a header can't be {type(value).__name__}")


def _parameter(value: str, context: Mapping[str, Any]) -> str:
    """A response parameter: text in single quotes, or the name of a context variable."""
    if value.startswith("'"):
        return value[1:-1]
    return _fill(f"${value}", context)


def _fill(template: str, context: Mapping[str, Any]) -> str:
    """A gateway response's template with its context variables filled in; unknown ones vanish."""

    def lookup(found: re.Match[str]) -> str:
        value: Any = context
        for part in found[1].split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return "" if value is None else str(value)

    return re.sub(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)", lookup, template)
