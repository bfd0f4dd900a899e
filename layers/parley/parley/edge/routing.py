"""What every route has in common, so that a route module says only what is its own.

A route made through `routes_of` admits nobody without a valid credential, counts against the
tenant's limit, answers every error in its dialect's envelope and carries a request id. A route
can't forget any of it. One made through `public_routes_of` admits everybody, and does the rest.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Scope

from parley.bootstrap import services
from parley.dialects import Dialect
from parley.domain.errors import (
    InvalidRequest,
    ModelError,
    ModelUnavailable,
    NotFound,
    ParleyError,
    RateLimited,
    Unauthenticated,
)
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller
from parley.edge.errors import invalid, render
from parley.edge.observed import label
from parley.edge.statuses import BodyTooLarge, status_of
from parley.services.limits import LimitReached
from parley.services.routing import watch
from parley.telemetry import spans, work

log = logging.getLogger(__name__)

_CREDENTIALS = (
    HTTPBearer(
        scheme_name="ApiKeyBearer",
        bearerFormat="API key",
        description="An API key, as OpenAI's clients send it: `Authorization: Bearer sk_test_...`",
        auto_error=False,
    ),
    APIKeyHeader(
        name="X-API-Key",
        scheme_name="ApiKey",
        description="An API key, or a token: `X-API-Key: sk_test_...`",
        auto_error=False,
    ),
    HTTPBearer(
        scheme_name="Token",
        bearerFormat="JWT",
        description="A token of `POST /api/chat/get_token`: `Authorization: Bearer eyJ...`",
        auto_error=False,
    ),
)
"""For the OpenAPI document; the credential itself is read by `_credential`."""


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
"""Who is calling: a route's parameter of this type is the authenticated caller."""


def routes_of(dialect: Dialect) -> APIRouter:
    """A router whose routes speak this dialect."""
    return APIRouter(
        route_class=type(f"{dialect.name.title()}Route", (_Route,), {"dialect": dialect}),
        dependencies=[Security(scheme) for scheme in _CREDENTIALS],
        tags=[dialect.name],
        responses={
            "4XX": {
                "description": "The request can't be served as it is.",
                **_described(dialect, _REFUSALS),
            },
            "5XX": {
                "description": "The store or the model failed.",
                **_described(dialect, _FAILURES),
            },
        },
    )


def public_routes_of(dialect: Dialect, *, is_told: bool = False) -> APIRouter:
    """A router whose routes answer everybody: they know no caller, and no limit holds for them.

    Args:
        is_told: whether the OpenAPI document tells of them.
    """
    return APIRouter(
        route_class=type(f"{dialect.name.title()}Route", (_PublicRoute,), {"dialect": dialect}),
        tags=[dialect.name],
        include_in_schema=is_told,
    )


_REFUSALS = (
    InvalidRequest("limit: Input should be a valid integer.", param="limit"),
    Unauthenticated("Incorrect API key provided."),
    NotFound("No such conversation."),
    RateLimited(
        "The limit of 100 requests a minute is reached. Try again in 21 seconds.", retry_after=21
    ),
)
_FAILURES = (
    ModelError("The model failed."),
    ModelUnavailable("The model can't be reached right now. Please try again."),
)
"""Examples of what goes wrong, one for each status."""


def _described(dialect: Dialect, examples: Iterable[ParleyError]) -> dict[str, Any]:
    """What the OpenAPI document shows of a dialect's errors."""
    shown = {
        str(status_of(error)): {
            "summary": error.code,
            "value": dialect.envelope(error, status_of(error)),
        }
        for error in examples
    }
    return {"content": {"application/json": {"schema": dialect.error_schema, "examples": shown}}}


class _Route(APIRoute):
    dialect: ClassVar[Dialect]

    async def admit(self, request: Request) -> None:
        """Learn who is calling, and count the request."""
        request.state.caller = await services().credentials.authenticate(_credential(request))
        spans.bind(tenant=request.state.caller.tenant.id, key_id=request.state.caller.key_id)
        request.state.caller.check_scope(self.dialect.name)
        request.state.allowance = await services().limits.admit(request.state.caller)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler with what every route has in common."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            began = time.perf_counter()
            label(self.dialect.name, self.path)
            served = watch()
            request.state.allowance = None
            try:
                await self.admit(request)
                response = await answer(await _readable(request, self.dialect))
            except ClientDisconnect:
                raise
            except LimitReached as error:
                request.state.allowance = error.allowance
                response = self._refuse(error)
            except Exception as error:  # noqa: BLE001 - whatever failed, the caller gets an envelope
                response = self._refuse(_as_domain_error(error))
            elapsed = (time.perf_counter() - began) * 1000
            response.headers.update(self.dialect.headers(request.state.allowance, elapsed))
            if served:
                response.headers["x-parley-route"] = _told(served)
            return response

        return handle

    def _refuse(self, error: ParleyError) -> Response:
        work.failed(error.code, is_limit=isinstance(error, RateLimited))
        return render(self.dialect, error)


class _PublicRoute(_Route):
    async def admit(self, request: Request) -> None:
        """Let everybody in."""


def base_path(request: Request) -> str:
    """What stands before every route's path for clients, such as a stage: `/prod`, or nothing."""
    context = request.scope.get("aws.event", {}).get("requestContext", {})
    asked: str = context.get("path") or request.url.path
    return asked.rstrip("/").removesuffix(request.url.path)


def request_id(scope: Scope) -> str:
    """The id under which this request stands in every log.

    API Gateway's own where it came through it: handed on by Mangum in the scope, by the Lambda Web
    Adapter in a header that it sets itself, whatever the client sent.
    """
    event = scope.get("aws.event") or {}
    context = event.get("requestContext")
    if context is None:
        given = dict(scope["headers"]).get(b"x-amzn-request-context")
        context = json.loads(given) if given else {}
    return context.get("requestId") or str(uuid.uuid4())


def _told(routes: Sequence[ModelRoute]) -> str:
    """The routes that served, each once; a catch-all route's label has a caller's own words."""
    labels = (quote(route.label, safe=" !#$&'()*+/:;=?@[]~") for route in routes)
    return ", ".join(dict.fromkeys(labels))


def _credential(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key")


async def _readable(request: Request, dialect: Dialect) -> Request:
    """The request with its body as the dialect reads it.

    Raises:
        InvalidRequest: the body isn't UTF-8; FastAPI would read it with the broken places replaced.
    """
    try:
        body = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The request body isn't valid UTF-8.") from error
    mended = dialect.mend(body)
    if mended == body:
        return request

    async def receive() -> Message:
        return {"type": "http.request", "body": mended.encode(), "more_body": False}

    return Request(request.scope, receive)


def _as_domain_error(error: Exception) -> ParleyError:
    match error:
        case ParleyError():
            return error
        case RequestValidationError():
            return invalid(error)
        case HTTPException(status_code=413):
            return BodyTooLarge(error.detail)
        case HTTPException():  # FastAPI's word for a body that is no JSON text at all
            return InvalidRequest("The request body can't be read as JSON in UTF-8.")
    log.error("a route failed in a way nobody foresaw", exc_info=error)
    return ParleyError(
        "Something went wrong on our side. The request id identifies it in our logs."
    )
