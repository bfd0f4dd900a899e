"""A client of live chats that is connected to them by real WebSockets."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.support.deployment import Customer
from tests.support.serving import Process


class LiveChat:
    """A live chat, as a client sees it that is cut off again and again."""

    def __init__(self, process: Process, customer: Customer) -> None:
        """Create the chat."""
        self._process, self._key = process, customer.key
        self.id: str = self._http("POST", "", json={"user_id": "user-1"})["chat_id"]

    def connect(
        self, last_seen: int | None = None, *, at: Process | None = None
    ) -> ClientConnection:
        """Connect; None is where the chat was created."""
        query = {"api_key": self._key, "user_id": "user-1", "chat_id": self.id}
        if last_seen is not None:
            query["last_seq"] = str(last_seen)
        process = at or self._process
        url = f"{process.url.replace('http', 'ws', 1)}/ws/chat?{urlencode(query)}"
        return connect(url, open_timeout=60)

    def events(self, connection: ClientConnection, last_seen: int) -> Iterator[dict[str, Any]]:
        """What a connection is told that comes behind what was seen."""
        while True:
            event = json.loads(connection.recv(60))
            if event["type"] != "connection_established" and event["seq"] > last_seen:
                last_seen = event["seq"]
                yield event

    def hear(self, connection: ClientConnection, last_seen: int) -> list[dict[str, Any]]:
        """What a connection is told that comes behind what was seen, to the end of the reply."""
        heard = []
        for event in self.events(connection, last_seen):
            heard.append(event)
            if event["type"] == "message_stream_ended":
                break
        return heard

    def messages(self) -> list[dict[str, Any]]:
        """What the history shows."""
        messages: list[dict[str, Any]] = self._http("GET", f"/{self.id}/messages")["messages"]
        return messages

    def _http(self, method: str, path: str, **request: Any) -> Any:
        response = httpx.request(
            method,
            f"{self._process.url}/api/v1/chats{path}",
            headers={"X-API-Key": self._key},
            timeout=60,
            **request,
        )
        assert response.is_success, response.text
        return response.json()


def cut(connection: ClientConnection) -> None:
    """End a connection without a word, as a network does."""
    connection.socket.shutdown(socket.SHUT_RDWR)
