"""Functions as the template of these tests names them: one buffered, one streaming."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter

from local.asgi import Receive, Scope, Send
from local.runtime import LambdaContext

router = APIRouter()


def echo(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer with the event and what the context says."""
    seen = {
        "event": event,
        "function": context.function_name,
        "request": context.aws_request_id,
        "remaining": context.get_remaining_time_in_millis(),
    }
    return {
        "statusCode": 201,
        "headers": {"x-one": "1"},
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
        "body": json.dumps(seen),
    }


def broken(_event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Raise, as a handler does that has a mistake in it."""
    raise ValueError("secret detail")


def malformed(_event: dict[str, Any], _context: LambdaContext) -> str:
    """Return what isn't a proxy response."""
    return "text"


left = asyncio.Event()
"""Set once the streaming application has learnt that its client left."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream the headers and the body; `/leave` then waits for the client to go."""
    request = await receive()
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for chunk in (json.dumps(headers).encode(), b"\n", request["body"]):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if scope["path"] == "/leave":
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()
    await send({"type": "http.response.body", "body": b""})
