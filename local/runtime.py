"""Runs the template's functions in this process, as the Lambda runtime would in its own."""

import asyncio
import importlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from local.gateway import Event, Headers
from local.intrinsics import ACCOUNT, REGION
from local.routes import Function

Handler = Callable[[Event, "LambdaContext"], object]

CONCURRENCY = 64
"""Buffered invocations at a time; Lambda would start as many sandboxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaContext:
    """The context object that the Lambda runtime hands to a handler."""

    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    deadline: float
    """Unix time in seconds."""
    function_version: str = "$LATEST"
    identity: None = None
    client_context: None = None

    @classmethod
    def begin(cls, function: Function, request_id: str) -> "LambdaContext":
        """The context of an invocation that begins now."""
        return cls(
            function_name=function.name,
            memory_limit_in_mb=function.memory,
            invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}",
            aws_request_id=request_id,
            log_group_name=f"/aws/lambda/{function.name}",
            log_stream_name=f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]local",
            deadline=time.time() + function.timeout,
        )

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds left before Lambda would end the invocation."""
        return max(0, int((self.deadline - time.time()) * 1000))


class Invoker:
    """Calls buffered handlers in worker threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CONCURRENCY, "handler")

    async def invoke(self, function: Function, event: Event, context: LambdaContext) -> object:
        """What the function's handler returns, or raises.

        Raises:
            TimeoutError: it takes longer than its function's timeout; its thread goes on, though.
        """
        handler: Handler = getattr(load_module(function), function.attribute)
        running = asyncio.get_running_loop().run_in_executor(self._threads, handler, event, context)
        async with asyncio.timeout(function.timeout):
            return await running


def load_module(function: Function) -> ModuleType:
    """The module of a function's handler, imported at the first call."""
    return importlib.import_module(function.module)


def adapter_headers(event: Event, context: LambdaContext) -> Headers:
    """What the Lambda Web Adapter adds to the request it hands to the application."""
    invocation = {
        "request_id": context.aws_request_id,
        "deadline": int(context.deadline * 1000),
        "invoked_function_arn": context.invoked_function_arn,
        "xray_trace_id": None,
        "client_context": None,
        "identity": None,
        "env_config": {
            "function_name": context.function_name,
            "memory": context.memory_limit_in_mb,
            "version": context.function_version,
            "log_stream": context.log_stream_name,
            "log_group": context.log_group_name,
        },
    }
    return [
        ("x-amzn-request-context", json.dumps(event["requestContext"])),
        ("x-amzn-lambda-context", json.dumps(invocation)),
    ]
