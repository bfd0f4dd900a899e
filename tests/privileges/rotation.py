"""Secrets Manager as functions find it on AWS, in front of an emulator's."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

GET = "secretsmanager.GetSecretValue"
NOTHING = {
    "__type": "ResourceNotFoundException",
    "message": "Secrets Manager can't find the specified secret value.",
}


@contextmanager
def secrets_manager(emulator: str) -> Iterator[str]:
    """The URL of one that hands all on to the emulator, for the length of a block.

    A version that a rotation is yet to fill isn't found there. The emulator finds it, empty.
    """
    server = _Server(("127.0.0.1", 0), urlsplit(emulator).netloc)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], emulator: str) -> None:
        super().__init__(address, _Handler)
        self.emulator = emulator


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        emulator = http.client.HTTPConnection(self.server.emulator, timeout=60)
        emulator.request("POST", self.path, body, dict(self.headers))  # as it was signed
        answer = emulator.getresponse()
        status, content = answer.status, answer.read()
        emulator.close()
        if self.headers["X-Amz-Target"] == GET and status == 200:
            found = json.loads(content)
            if "SecretString" not in found:
                status, content = 400, json.dumps(NOTHING).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""
