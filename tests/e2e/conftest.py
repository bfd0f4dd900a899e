"""The local stack as a person starts it: a process with a port and a data folder of its own."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import ROOT
from local.processes import READY, REPORT_FD

START_SECONDS = 90
STOP_SECONDS = 30


class StackFailedError(Exception):
    """The stack ended, or took too long, instead of becoming ready."""


class Stack:
    """A running local stack."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        """Start one and wait until it reports to be ready.

        Raises:
            StackFailedError: it doesn't; the message is all it has printed.
        """
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = data_dir / "stack.log"
        self._reports, reporting = os.pipe()
        settings = {"PORT": "0", "DATA_DIR": str(data_dir), "RELOAD": "0", **environment}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local"],
                cwd=ROOT,
                env={**os.environ, **settings, REPORT_FD: str(reporting)},
                pass_fds=(reporting,),
                stdout=output,
                stderr=output,
            )
        os.close(reporting)
        try:
            self.url = self.wait_until_ready()[-1]
        except StackFailedError:
            self.close()
            raise

    def wait_until_ready(self) -> list[str]:
        """Wait for the next report that the stack is ready; return what it reports before."""
        gives_up = time.monotonic() + START_SECONDS
        reported = b""
        while not reported.endswith(f"{READY}\n".encode()):
            waiting = max(0.0, gives_up - time.monotonic())
            is_there, _, _ = select.select([self._reports], [], [], waiting)
            chunk = os.read(self._reports, 1024) if is_there else b""
            if not chunk:
                raise StackFailedError(self.printed())
            reported += chunk
        return reported.decode().splitlines()[:-1]

    def printed(self) -> str:
        """All that the stack has printed on its terminal."""
        return self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, SIGINT being what Ctrl-C sends; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def close(self) -> None:
        """End the stack if it still runs."""
        os.close(self._reports)
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(STOP_SECONDS)


@contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[Stack]:
    """A stack for the length of a block."""
    started = Stack(data_dir, **environment)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that don't stop it; keep tests apart by the users they name."""
    with running(tmp_path_factory.mktemp("stack")) as started:
        yield started
