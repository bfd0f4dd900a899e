"""What the Lambda service does where one function invokes another."""

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from local.gateway import Event, Request, Response
from local.routes import Function
from local.runtime import LambdaContext

_INVOCATIONS = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")

logger = logging.getLogger(__name__)


class LambdaGateway:
    """Invokes functions asynchronously, by name or ARN."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        invoke: Callable[[Function, Event, LambdaContext], Awaitable[object]],
    ) -> None:
        """Note the functions by name."""
        self._functions = functions
        self._invoke = invoke
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response | None:
        """Answer a call of Lambda's API; None where it is none."""
        found = _INVOCATIONS.fullmatch(request.path)
        if found is None or request.method != "POST":
            return None
        if not request.header("authorization").startswith("AWS4-HMAC-SHA256 "):
            return _error(
                403, "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        name = unquote(found[1]).rpartition(":")[2]
        function = self._functions.get(name)
        if function is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if request.header("x-amz-invocation-type") != "Event":
            return _error(400, "InvalidParameterValueException", "Only Event is served here.")
        try:
            event: Event = json.loads(request.body)
        except ValueError:
            return _error(400, "InvalidRequestContentException", "Could not parse request body.")
        task = asyncio.create_task(self._run(function, event))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Response(202, [], b"")

    async def drain(self) -> None:
        """Wait until every invocation has ended."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, function: Function, event: Event) -> None:
        try:
            await self._invoke(function, event, LambdaContext.begin(function, str(uuid.uuid4())))
        except Exception:  # Lambda logs what a handler raises; nobody waits for it
            logger.exception("%s failed", function.handler)


def _error(status: int, kind: str, message: str) -> Response:
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return Response(
        status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", kind)], body
    )
