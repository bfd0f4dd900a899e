"""Processes that serve the product against one store: to be killed, paused and compared."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from local import ROOT
from tests.support.zygote import STREAMING, Order

START_SECONDS = 60
END_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Process:
    """A process that serves on a port of its own."""

    pid: int
    url: str
    log: Path

    def kill(self) -> None:
        """End it as a power failure would; returns once it is gone."""
        deadline = time.monotonic() + END_SECONDS
        while self._signal(signal.SIGKILL):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Process {self.pid} survives kill -9.")
            time.sleep(0.005)

    def pause(self) -> None:
        """Stop it where it is."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> bool:
        """Send a signal; False where there is nobody any more."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class Address:
    """Where processes serve, one after the other; connections wait while there is none."""

    def __init__(self) -> None:
        """Take a free port and listen on it."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let no more processes serve here."""
        self._listener.close()

    def fileno(self) -> int:
        """The descriptor of the listening socket."""
        return self._listener.fileno()


class Zygote:
    """Makes processes in milliseconds, and ends them all with the block."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start the process they are forked from.

        Args:
            folder: for their logs.
            environment: of all of them, where nothing else is said.
        """
        self._folder = folder
        self._environment = dict(environment)
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(START_SECONDS)
        self._lock = threading.Lock()
        self._made: list[Process] = []
        path = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "parley")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, **environment, "PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,
        )
        theirs.close()
        if self._answer() != "ready":
            raise RuntimeError("The zygote did not start.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._made:
            process.kill()
        self._channel.close()
        self._process.wait(END_SECONDS)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def fork(
        self,
        app: str = STREAMING,
        *,
        store: str | None = None,
        ahead: float = 0,
        address: Address | None = None,
        gateway: Process | None = None,
        workers: Address | None = None,
    ) -> Process:
        """A process that serves an application; connections to it wait until it does.

        Args:
            store: the URL of its AWS services, in place of the one they all have.
            ahead: seconds that its clock is ahead.
            address: where it serves; None makes one of its own.
            gateway: the process that holds the WebSockets it writes to; None takes its own.
            workers: where the functions run that it starts; None runs them itself.
        """
        own = address or Address()
        environment = self._environment | {
            "AWS_ENDPOINT_URL_LAMBDA": workers.url if workers else own.url,
            "PARLEY_SOCKETS_ENDPOINT": gateway.url if gateway else own.url,
        }
        if store:
            environment["AWS_ENDPOINT_URL"] = store
        order = Order(app=app, environment=environment, ahead=ahead).to_line()
        with self._lock:
            log = self._folder / f"process-{len(self._made)}.log"
            with log.open("wb") as file:
                socket.send_fds(self._channel, [order], [own.fileno(), file.fileno()])
                process = Process(int(self._answer()), own.url, log)
            self._made.append(process)
        if address is None:
            own.close()  # the process has it
        return process

    @contextmanager
    def serving(
        self, app: str = STREAMING, *, store: str | None = None, ahead: float = 0
    ) -> Iterator[Process]:
        """A process for the length of a block."""
        process = self.fork(app, store=store, ahead=ahead)
        try:
            yield process
        finally:
            process.kill()

    def _answer(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            chunk = self._channel.recv(64)
            if not chunk:
                raise RuntimeError("The zygote has ended.")
            line += chunk
        return line.decode().strip()
