"""What every route has in common, so that a route module says only what is its own.

A route made through `routes_of` admits nobody without a valid credential, counts against the
tenant's limit, answers every error in its dialect's envelope and carries a request id. A route
can't forget any of it.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar

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
from parley.domain.errors import InvalidRequest, ParleyError
from parley.domain.tenants import Caller
from parley.edge.errors import BodyTooLarge, invalid, render
from parley.services.limits import LimitReached

log = logging.getLogger(__name__)

_bearer = HTTPBearer(auto_error=False, description="An API key")
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key")


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
"""Who is calling: a route's parameter of this type is the authenticated caller."""


def routes_of(dialect: Dialect) -> APIRouter:
    """A router whose routes speak this dialect."""
    failure = {
        "content": {"application/json": {"schema": dialect.error_schema}},
    }
    return APIRouter(
        route_class=type(f"{dialect.name.title()}Route", (_Route,), {"dialect": dialect}),
        dependencies=[Security(_bearer), Security(_api_key)],
        tags=[dialect.name],
        responses={
            "4XX": {"description": "The request can't be served as it is.", **failure},
            "5XX": {"description": "The store or the model failed.", **failure},
        },
    )


class _Route(APIRoute):
    dialect: ClassVar[Dialect]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler with what every route has in common."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            began = time.perf_counter()
            request.state.allowance = None
            try:
                request.state.caller = await services().credentials.authenticate(
                    _credential(request)
                )
                request.state.allowance = await services().limits.admit(request.state.caller)
                response = await answer(await _readable(request, self.dialect))
            except ClientDisconnect:
                raise
            except LimitReached as error:
                request.state.allowance = error.allowance
                response = render(self.dialect, error)
            except Exception as error:  # noqa: BLE001 - whatever failed, the caller gets an envelope
                response = render(self.dialect, _as_domain_error(error))
            elapsed = (time.perf_counter() - began) * 1000
            response.headers.update(self.dialect.headers(request.state.allowance, elapsed))
            response.headers["x-request-id"] = request_id(request.scope)
            self._log(request, response, elapsed)
            return response

        return handle

    def _log(self, request: Request, response: Response, elapsed_ms: float) -> None:
        """One line a request: who asked for what and how it went, never what was said."""
        caller: Caller | None = getattr(request.state, "caller", None)
        log.info(
            "request",
            extra={
                "request_id": response.headers["x-request-id"],
                "dialect": self.dialect.name,
                "method": request.method,
                "route": self.path,
                "status": response.status_code,
                "elapsed_ms": round(elapsed_ms, 1),
                "tenant": caller and caller.tenant.id,
                "key_id": caller and caller.key_id,
            },
        )


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
