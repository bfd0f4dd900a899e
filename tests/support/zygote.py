"""Forks processes that serve the product, so that a test can afford to kill dozens.

`python -m tests.support.zygote FD` imports the product once. For every order that it reads from the
socket of this number, a line of JSON with a listening socket and a file for the log beside it, it
forks a process that serves there, and answers with its id.
"""

import importlib
import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

import uvicorn

from local import TEMPLATE
from local.front_door import configuration
from local.processes import end_with_parent
from local.stack import LocalStack
from local.template import load
from parley import bootstrap
from parley.adapters.system import SystemClock

STREAMING = "functions.streaming.app"
"""What the streaming function serves under the Lambda Web Adapter."""

WHOLE_STACK = "local.stack"
"""All of the deployed stack's front doors, WebSockets included."""

LONGEST_ORDER = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to serve, and in what world."""

    app: str
    environment: dict[str, str]
    ahead: float
    """Seconds that its clock is ahead of the others'."""

    def to_line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


class ClockAhead(SystemClock):
    """The machine's clock as it will be in a while."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


def main() -> None:
    """Fork until nobody is left to order it."""
    importlib.import_module(STREAMING)
    LocalStack(load(TEMPLATE))  # imports every other handler
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that whoever has died is gone
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.sendall(b"ready\n")
    while True:
        line, (listener, log), _, _ = _receive(channel)
        if not line:
            return
        process = os.fork()
        if not process:
            channel.close()
            _serve(Order(**json.loads(line)), socket.socket(fileno=listener), log)
            os._exit(0)
        os.close(listener)
        os.close(log)
        channel.sendall(f"{process}\n".encode())


def _receive(channel: socket.socket) -> tuple[bytes, list[int], int, object]:
    line, descriptors, flags, address = socket.recv_fds(channel, LONGEST_ORDER, 2)
    while line and not line.endswith(b"\n"):
        line += channel.recv(LONGEST_ORDER)
    return line, descriptors or [-1, -1], flags, address


def _serve(order: Order, listener: socket.socket, log: int) -> None:
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    os.environ |= order.environment
    vars(bootstrap)["SystemClock"] = partial(ClockAhead, order.ahead)  # the one that tells time
    if order.app == WHOLE_STACK:
        config = configuration(LocalStack(load(TEMPLATE)))
    else:
        app = importlib.import_module(order.app).app
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
