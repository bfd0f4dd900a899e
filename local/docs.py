"""Every route's documentation on one page, readable without a network."""

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from local.routes import Function, Route
from local.runtime import load_module

PATH = "/docs"
SCHEMA_PATH = "/openapi.json"


def documentation(routes: Iterable[Route]) -> FastAPI:
    """An application that shows what the given routes' functions serve, as page and as OpenAPI.

    It knows the routes to describe them and never answers one: that takes the gateway.
    """
    app: FastAPI = FastAPIOffline(
        docs_url=PATH,
        redoc_url=None,
        static_url=f"{PATH}/static",
        swagger_ui_oauth2_redirect_url=f"{PATH}/oauth2-redirect",
        openapi_url=SCHEMA_PATH,
        title="Parley",
        summary="Five chat APIs over one conversation core.",
        version="local",
    )
    by_handler = {route.function.handler: route.function for route in routes}
    for function in by_handler.values():
        for router in _routers(function):
            app.include_router(router)
    return app


def _routers(function: Function) -> Iterator[APIRouter]:
    """A route module has one `router`; the streaming application lists its `ROUTERS`."""
    module = load_module(function)
    if hasattr(module, "router"):
        yield module.router
    yield from getattr(module, "ROUTERS", ())
