"""Lambda's entry point around some routes."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from mangum import Mangum
from mangum.types import LambdaContext

from parley.bootstrap import observe
from parley.edge.application import application

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def lambda_handler(*routers: APIRouter) -> Handler:
    """A handler that answers an API Gateway event with these routes."""
    mangum = Mangum(application(*routers), lifespan="off")

    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        observe()
        _give_this_thread_a_loop()
        return mangum(event, context)

    return handler


def _give_this_thread_a_loop() -> None:
    """Mangum runs the application in its thread's event loop; a worker thread has none."""
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
