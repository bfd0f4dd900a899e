"""Functions behind a WebSocket API, and one that others invoke, which tell what they are asked."""

from queue import Queue
from typing import Any

from local.runtime import LambdaContext

events: Queue[tuple[str, dict[str, Any]]] = Queue()
"""The functions' names and their events, in order."""

connecting: Queue[str] = Queue()
"""The connections whose handshake waits for `let_in`, where `?wait` asks for that."""

let_in: Queue[int] = Queue()
"""The statuses with which waiting handshakes end."""


def connect(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Let in whom the query doesn't refuse."""
    events.put((context.function_name, event))
    query = event.get("queryStringParameters") or {}
    if "wait" in query:
        connecting.put(event["requestContext"]["connectionId"])
        return {"statusCode": let_in.get(timeout=30)}
    status = int(query.get("status", "200"))
    return {"statusCode": status, "body": '{"why": "because"}'}


def receive(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take everything but one word."""
    if event["body"] == "break":
        raise ValueError("secret detail")
    events.put((context.function_name, event))
    return {"statusCode": 200}


def disconnect(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Note that a client has gone."""
    events.put((context.function_name, event))
    return {"statusCode": 200}


def work(event: dict[str, Any], context: LambdaContext) -> None:
    """Be invoked."""
    if event.get("break"):
        raise ValueError("secret detail")
    events.put((context.function_name, event))
