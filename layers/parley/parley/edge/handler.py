"""Lambda's entry point around some routes."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from mangum import Mangum
from mangum.types import LambdaContext

from parley.bootstrap import observe
from parley.edge.application import application
from parley.edge.loops import loop_of_this_thread

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def lambda_handler(*routers: APIRouter) -> Handler:
    """A handler that answers an API Gateway event with these routes."""
    mangum = Mangum(application(*routers), lifespan="off")

    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        observe()
        loop_of_this_thread()  # in which Mangum runs the application
        return mangum(event, context)

    return handler
