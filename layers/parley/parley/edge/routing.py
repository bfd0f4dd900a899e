"""What every route has in common, so that a route module says only what is its own.

A route made through `routes_of` admits nobody without a valid credential, counts against the
tenant's limit, answers every error in its dialect's envelope and carries a request id. A route
can't forget any of it. One made through `public_routes_of` admits everybody, and does the rest.
"""

import asyncio
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
    BudgetExhausted,
    Conflict,
    Forbidden,
    InvalidRequest,
    ModelError,
    ModelUnavailable,
    NotFound,
    ParleyError,
    RateLimited,
    StoreUnavailable,
    Unauthenticated,
)
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller
from parley.edge.body import check_shape
from parley.edge.errors import invalid, render
from parley.edge.leaving import unless_left
from parley.edge.observed import label
from parley.edge.once import KEPT_WHOLE, PARAMETER, Keeping, answered_once, found, once_of
from parley.edge.statuses import BodyTooLarge, status_of
from parley.services.limits import Allowance, LimitReached
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

_SIGNATURE = APIKeyHeader(
    name="Authorization",
    scheme_name="SigV4",
    description="AWS Signature Version 4 for the service `execute-api`, which API Gateway checks.",
    auto_error=False,
)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
"""Who is calling: a route's parameter of this type is the authenticated caller."""


def routes_of(
    dialect: Dialect,
    *,
    begins_turns: bool = False,
    for_every_api: bool = False,
    keeping: Keeping = KEPT_WHOLE,
) -> APIRouter:
    """A router whose routes speak this dialect.

    Args:
        begins_turns: whether they do. Then they are admitted side by side with what they read, and
            have a repeated request's turns told again themselves: see `parley.edge.listening`.
        for_every_api: whether a credential for any of the APIs will do.
        keeping: how the answers to requests with an idempotency key are kept.
    """
    settings = {
        "dialect": dialect,
        "begins_turns": begins_turns,
        "scope": None if for_every_api else dialect.name,
        "keeping": keeping,
    }
    return APIRouter(
        route_class=type(f"{dialect.name.title()}Route", (_Route,), settings),
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


def operator_routes_of(dialect: Dialect) -> APIRouter:
    """A router whose routes answer operators, whom API Gateway has let in by IAM; nobody else."""
    return APIRouter(
        route_class=type(f"{dialect.name.title()}Route", (_OperatorRoute,), {"dialect": dialect}),
        dependencies=[Security(_SIGNATURE)],
        tags=[dialect.name],
        responses={
            "4XX": {
                "description": "The request can't be served as it is.",
                **_described(dialect, _OPERATORS_REFUSALS),
            },
            "5XX": {
                "description": "The store failed.",
                **_described(dialect, [StoreUnavailable("The store can't be reached.")]),
            },
        },
    )


_OPERATORS_REFUSALS = (
    InvalidRequest("limit: Input should be a valid integer.", param="limit"),
    Forbidden("This is for operators."),
    NotFound("There is no tenant acme."),
    Conflict("The tenant acme is being removed.", param="tenant"),
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


_Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class _Route(APIRoute):
    dialect: ClassVar[Dialect]
    begins_turns: ClassVar[bool] = False
    scope: ClassVar[str | None] = None
    keeping: ClassVar[Keeping] = KEPT_WHOLE
    takes_keys: ClassVar[bool] = True
    """Whether what is posted may come again with an idempotency key."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **how: Any) -> None:
        super().__init__(path, endpoint, **how)
        if "POST" in (self.methods or ()) and self.takes_keys:
            described = self.openapi_extra or {}
            several = [each for each in described.get("parameters", ()) if each is not PARAMETER]
            self.openapi_extra = {**described, "parameters": [*several, PARAMETER]}

    async def serve(self, request: Request, answer: _Answer) -> Response:
        """Learn who is calling, count the request, and answer it.

        That it isn't admitted goes before whatever else is wrong with it.
        """
        caller = await services().credentials.authenticate(_credential(request))
        request.state.caller = caller
        spans.bind(tenant=caller.tenant.id, key_id=caller.key_id)
        if self.scope is not None:
            caller.check_scope(self.scope)
        admission = services().limits.admit_meanwhile(caller)
        try:
            return await self._serve(request, answer, admission)
        finally:
            request.state.allowance = await admission

    async def _serve(
        self, request: Request, answer: _Answer, admission: asyncio.Task[Allowance]
    ) -> Response:
        once = None
        if request.method == "POST":
            once = await once_of(request, request.state.caller)
        if self.begins_turns:
            request.state.once = await found(once) if once is not None else None
            readable = await _readable(request, self.dialect)
            return await unless_left(request, answer(readable))
        request.state.once = once
        if once is None:
            await admission
            return await answer(await _readable(request, self.dialect))

        async def for_the_first_time() -> Response:
            return await answer(await _readable(request, self.dialect))

        response, request.state.is_replayed = await answered_once(
            once, request.state.caller, admission, for_the_first_time, self.keeping
        )
        return response

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler with what every route has in common."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            began = time.perf_counter()
            label(self.dialect.name, self.path)
            served = watch()
            request.state.client = request
            request.state.once = request.state.allowance = None
            request.state.is_replayed = False
            try:
                response = await self.serve(request, answer)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - whatever failed, the caller gets an envelope
                response = self._refuse(request, _as_domain_error(error))
            elapsed = (time.perf_counter() - began) * 1000
            response.headers.update(self.dialect.headers(request.state.allowance, elapsed))
            if served:
                response.headers["x-parley-route"] = _told(served)
            if request.state.is_replayed:
                response.headers["idempotent-replayed"] = "true"
            return response

        return handle

    def _refuse(self, request: Request, error: ParleyError) -> Response:
        work.failed(error.code, is_limit=isinstance(error, RateLimited))
        response = render(self.dialect, error)
        if isinstance(error, LimitReached):
            request.state.allowance = error.allowance
        if isinstance(error, BudgetExhausted):
            response.headers["x-should-retry"] = "false"  # or OpenAI's clients would, twice
        if error.is_told_again and request.state.once is not None:
            request.state.is_replayed = True
            response.headers["x-should-retry"] = "false"  # which OpenAI's clients go by
        return response


class _OperatorRoute(_Route):
    takes_keys = False

    async def serve(self, request: Request, answer: _Answer) -> Response:
        """Answer whom IAM has let in, and note in the request's line who has done what to whom."""
        operator = _operator(request.scope)
        if operator is None:
            raise Forbidden("This is for operators, whose requests are signed for AWS.")
        spans.bind(operator=operator)
        response = await answer(await _readable(request, self.dialect))
        done_to = request.path_params
        spans.bind(tenant=done_to.get("tenant"), key_id=done_to.get("key"))
        return response


class _PublicRoute(_Route):
    takes_keys = False

    async def serve(self, request: Request, answer: _Answer) -> Response:
        """Answer everybody."""
        return await answer(await _readable(request, self.dialect))


def base_path(request: Request) -> str:
    """What stands before every route's path for clients, such as a stage: `/prod`, or nothing."""
    context = request.scope.get("aws.event", {}).get("requestContext", {})
    path: str = request.scope["path"]
    asked: str = context.get("path") or path
    return asked.rstrip("/").removesuffix(path)


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


def _operator(scope: Scope) -> str | None:
    """The ARN that API Gateway knows the caller by; None where no signature was asked for."""
    identity = scope.get("aws.event", {}).get("requestContext", {}).get("identity") or {}
    return identity.get("userArn") or None


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
        InvalidRequest: the body isn't UTF-8, which FastAPI would read with the broken places
            replaced; or its JSON has too many values or levels.
    """
    try:
        body = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("The request body isn't valid UTF-8.") from error
    check_shape(body)
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
