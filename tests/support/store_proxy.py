"""A proxy in front of DynamoDB: it sees every call, and a test decides what becomes of each."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_TABLES = re.compile(rb'"TableName": ?"([^"]+)"|"RequestItems": ?\{"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the store on its way there."""

    operation: str
    invocation: str
    """The same for all attempts that an SDK makes of one call."""
    body: bytes = field(repr=False)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it names, each once, in order."""
        found = (a or b for a, b in _TABLES.findall(self.body))
        return tuple(dict.fromkeys(name.decode() for name in found))

    @property
    def arguments(self) -> dict[str, Any]:
        """What it asks for."""
        arguments: dict[str, Any] = json.loads(self.body)
        return arguments


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store says."""

    status: int
    body: bytes = field(repr=False)


_SILENCE = Answer(0, b"")

Forward = Callable[[], Answer]
Decide = Callable[[Call, Forward], Answer | None]
"""What becomes of a call: the answer, which may be that of the store, or None to hang up."""


def pass_on(_: Call, forward: Forward) -> Answer | None:
    """Let it happen."""
    return forward()


def lose_answer(_: Call, forward: Forward) -> Answer | None:
    """Let it happen, and hang up before the answer."""
    forward()
    return None


def hang_up(_: Call, __: Forward) -> Answer | None:
    """Hang up before anything has happened."""
    return None


def throttle(_: Call, __: Forward) -> Answer | None:
    """Refuse it as DynamoDB does when it is asked for too much."""
    return refusal("ThrottlingException", "Throughput exceeds the current capacity.")


def break_down(_: Call, __: Forward) -> Answer | None:
    """Fail as a service does that is broken."""
    return Answer(500, json.dumps({"__type": "InternalServerError", "message": "No."}).encode())


def collide(call: Call, _: Forward) -> Answer | None:
    """Refuse it because of another transaction on the same items that is under way."""
    if call.operation != "TransactWriteItems":
        return refusal("TransactionConflictException", "Transaction is ongoing for the item.")
    reasons = [{"Code": "TransactionConflict"} for _ in call.arguments["TransactItems"]]
    return refusal("TransactionCanceledException", "Cancelled.", CancellationReasons=reasons)


def throttle_transaction(call: Call, _: Forward) -> Answer | None:
    """Refuse a transaction as DynamoDB does when one of its items is asked for too much."""
    if call.operation != "TransactWriteItems":
        return refusal("ProvisionedThroughputExceededException", "Too much.")
    reasons = [{"Code": "ThrottlingError"} for _ in call.arguments["TransactItems"]]
    return refusal("TransactionCanceledException", "Cancelled.", CancellationReasons=reasons)


def stay_silent(_: Call, __: Forward) -> Answer | None:
    """Say nothing until whoever asks gives up; nothing has happened."""
    return _SILENCE


def refusal(kind: str, message: str, **more: Any) -> Answer:
    """An error of DynamoDB's."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": message, **more}
    return Answer(400, json.dumps(body).encode())


class StoreProxy:
    """The store as one process of the product sees it.

    Attributes:
        url: where that process finds its AWS services.
        decide: called for every call of DynamoDB, in the thread of its connection.
    """

    def __init__(self, upstream: str) -> None:
        self.decide: Decide = pass_on
        self._upstream = urlsplit(upstream).netloc
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, target: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """What becomes of a request."""

        def forward() -> Answer:
            return self._forward(headers, body)

        service, _, operation = target.rpartition(".")
        if not service.startswith("DynamoDB"):
            return forward()
        return self.decide(Call(operation, headers["amz-sdk-invocation-id"], body), forward)

    def _forward(self, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()


@contextmanager
def proxy_of(upstream: str) -> Iterator[StoreProxy]:
    """A proxy for the length of a block."""
    proxy = StoreProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()


_HANDED_ON = (
    "x-amz-target",
    "content-type",
    "authorization",
    "x-amz-date",
    "amz-sdk-invocation-id",
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], proxy: StoreProxy) -> None:
        super().__init__(address, _Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that is killed in the middle of a call is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name: self.headers[name] for name in _HANDED_ON if name in self.headers}
        answer = self.server.proxy.answer(self.headers["x-amz-target"], headers, body)
        if answer is None:
            self.close_connection = True
            return
        if answer is _SILENCE:
            self.rfile.read(1)
            self.close_connection = True
            return
        head = (
            f"HTTP/1.1 {answer.status} -\r\ncontent-type: application/x-amz-json-1.0\r\n"
            f"content-length: {len(answer.body)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""
