"""Functions behind a WebSocket API, and one that others invoke, which tell what they are asked."""

from queue import Queue
from threading import Condition
from typing import Any

from local.runtime import LambdaContext

events: Queue[tuple[str, dict[str, Any]]] = Queue()
"""The functions' names and their events, in order."""

connecting: Queue[str] = Queue()
"""The connections whose handshake waits for `let_in`, where `?wait` asks for that."""

let_in: Queue[int] = Queue()
"""The statuses with which waiting handshakes end."""


inside: set[str] = set()
"""The connections that were let in and whose leaving hasn't been told yet."""

leaving = Condition()
"""Notified whenever one is told to have left."""


def connect(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Let in whom the query doesn't refuse."""
    events.put((context.function_name, event))
    connection = event["requestContext"]["connectionId"]
    query = event.get("queryStringParameters") or {}
    status = int(query.get("status", "200"))
    if "wait" in query:
        connecting.put(connection)
        status = let_in.get(timeout=30)
    if status == 200:
        inside.add(connection)
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
    with leaving:
        inside.discard(event["requestContext"]["connectionId"])
        leaving.notify_all()
    return {"statusCode": 200}


def work(event: dict[str, Any], context: LambdaContext) -> None:
    """Be invoked."""
    if event.get("break"):
        raise ValueError("secret detail")
    events.put((context.function_name, event))
