"""The FastAPI application around some routes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.bootstrap import services
from parley.dialects import registry
from parley.domain.errors import NotFound, ParleyError
from parley.edge.cors import CrossOrigin
from parley.edge.errors import render
from parley.edge.observed import Observed, label
from parley.edge.routing import request_id
from parley.edge.statuses import MethodNotAllowed
from parley.telemetry import work

log = logging.getLogger(__name__)

MAX_BODY = 6 * 1024 * 1024
"""Bytes a Lambda function can be sent; the same bound holds wherever the application runs."""


WarmUp = Callable[[], Awaitable[None]]
"""Does beforehand what the first request would have to wait for."""


def application(*routers: APIRouter, warm_up: WarmUp | None = None) -> FastAPI:
    """An application that serves these routes, refuses all others and answers `GET /health`.

    Args:
        warm_up: run when the application starts, while it serves already.
    """
    app = FastAPI(openapi_url=None, lifespan=_life(warm_up), redirect_slashes=False)
    for router in routers:
        app.include_router(router)
    app.add_api_route("/health", _health, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_middleware(CrossOrigin)
    app.add_middleware(_BodyLimit)
    app.add_middleware(_TrailingSlash)
    app.add_middleware(Observed, identify=request_id)
    return app


def _life(warm_up: WarmUp | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        services()  # now, so that a missing setting shows at once and no request waits for clients
        warming = asyncio.ensure_future(_try(warm_up)) if warm_up else None
        yield
        if warming is not None:
            warming.cancel()
        await services().turns.drain()

    return lifespan


async def _try(warm_up: WarmUp) -> None:
    try:
        await warm_up()
    except ParleyError as error:  # the request that needs it will say so
        log.warning("warming up failed: %s", error.message)


async def _health() -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def _refuse(request: Request, _: Exception) -> Response:
    """Answer a path or a method that isn't served, in the dialect that the path belongs to."""
    path = request.scope["path"]  # that of its URL has lost line breaks and tabs
    dialect, methods = registry.find(path)
    label(dialect.name, None)
    if methods is None or request.method in methods.split(", "):  # no route takes a line break
        methods = None
        error: ParleyError = NotFound(f"There is nothing at {path}.")
    else:
        sentence = f"{path} answers {methods}, not {request.method}."
        error = MethodNotAllowed(sentence)
    work.failed(error.code)
    response = render(dialect, error)
    if methods is not None:
        response.headers["allow"] = methods
    return response


class _TrailingSlash:
    """Serve `/v1/chats/` as `/v1/chats`, as API Gateway does; a redirect would lose the stage."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/":
            scope = {**scope, "path": scope["path"].removesuffix("/")}
        await self._app(scope, receive, send)


class _BodyLimit:
    """Refuse a body over the limit as soon as that is known, without holding it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(announced) if announced.isdigit() else 0
        counted = 0

        async def count() -> Message:
            nonlocal counted
            message = await receive()
            counted += len(message.get("body", b""))
            if max(counted, received) > MAX_BODY:
                raise HTTPException(413, f"The request body is over {MAX_BODY} bytes.")
            return message

        await self._app(scope, count, send)
