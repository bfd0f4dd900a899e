"""The local stack as a person starts it: a process with a port and a data folder of its own."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import ROOT
from local.processes import READY, REPORT_FD

START_SECONDS = 90
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Stack:
    """A running local stack."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[bytes]"

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, SIGINT being what Ctrl-C sends; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(data_dir: Path, *, reload: bool = False) -> Iterator[Stack]:
    """A stack that has reported to be ready; it is ended with the block at the latest."""
    data_dir.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with (data_dir / "stack.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=os.environ
            | {
                "PORT": "0",
                "DATA_DIR": str(data_dir),
                "RELOAD": str(int(reload)),
                REPORT_FD: str(writing),
            },
            pass_fds=(writing,),
            stdout=log,
            stderr=log,
        )
    os.close(writing)
    try:
        url = _reported_url(reading)
        if url is None:
            pytest.fail(f"The stack did not start:\n{(data_dir / 'stack.log').read_text()}")
        yield Stack(url, data_dir, process)
    finally:
        os.close(reading)
        if process.poll() is None:
            process.terminate()
        process.wait(STOP_SECONDS)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests that don't stop it; keep tests apart by the users they name."""
    with running(tmp_path_factory.mktemp("stack")) as started:
        yield started


def _reported_url(descriptor: int) -> str | None:
    """The last line before the word that the stack is ready; None where it ends without."""
    gives_up = time.monotonic() + START_SECONDS
    reported = b""
    while not reported.endswith(f"{READY}\n".encode()):
        waiting = max(0.0, gives_up - time.monotonic())
        chunk = (
            os.read(descriptor, 1024) if select.select([descriptor], [], [], waiting)[0] else b""
        )
        if not chunk:
            return None
        reported += chunk
    return reported.decode().splitlines()[-2]
