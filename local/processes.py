"""Child processes that report when they are ready and never outlive their parent."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Self

READY = "ready"
FAILED = "failed: "
REPORT_FD = "PARLEY_LOCAL_REPORT_FD"
STOP_SECONDS = 10.0
"""How long a child may take to end before it is killed."""

LONGEST_LINE = 2**24
"""Bytes; nobody logs a longer one."""


class ChildFailedError(Exception):
    """A child ended before it was ready; the message is its reason, if it gave one."""


class Child:
    """A Python module run as a child process.

    Its standard input is a lifeline: a pipe whose other end this process holds. When this process
    ends, in whatever way, the child reads the end of the pipe and stops. It has a session of its
    own, so that Ctrl-C reaches the supervisor alone, which then stops the children in order.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reports: asyncio.StreamReader,
        listening: asyncio.Task[None] | None,
    ) -> None:
        self._process = process
        self._reports = reports
        self._listening = listening

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        output: IO[bytes] | Callable[[str], None],
        lifeline: int = asyncio.subprocess.PIPE,
    ) -> Self:
        """Start `python -m module arguments`.

        Args:
            lifeline: the end to read of a pipe that others hold too, where the child shall outlive
                this process until they have ended as well.
            output: a file that takes all it prints; or what is called with each line of its
                standard output, while its standard error stays on the terminal.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=lifeline,
                stdout=asyncio.subprocess.PIPE if callable(output) else output,
                stderr=None if callable(output) else output,
                limit=LONGEST_LINE,
                env={**environment, REPORT_FD: str(writing)},
                pass_fds=(*pass_fds, writing),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        reports = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reports), os.fdopen(reading)
        )
        listening = None
        if callable(output) and process.stdout is not None:
            listening = asyncio.create_task(_hand_on(process.stdout, output))
        return cls(process, reports, listening)

    async def ready(self, progress: Callable[[str], None]) -> None:
        """Wait until the child reports that it is ready; hand on what it reports before.

        Raises:
            ChildFailedError: it ended instead.
        """
        async for line in self._reports:
            heard = line.decode().rstrip("\n")
            if heard == READY:
                return
            if heard.startswith(FAILED):
                raise ChildFailedError(heard.removeprefix(FAILED))
            progress(heard)
        raise ChildFailedError

    async def wait(self) -> int:
        """Wait for the child's end; return its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End the child: politely, and after `STOP_SECONDS` by force."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def _hand_on(stream: asyncio.StreamReader, listener: Callable[[str], None]) -> None:
    async for line in stream:
        listener(line.decode("utf-8", "replace").rstrip("\n"))


def report(line: str) -> None:
    """Tell the parent how far this process is: `READY`, `FAILED` and a reason, or progress.

    Without a parent that listens, nobody hears it.
    """
    descriptor = os.environ.get(REPORT_FD)
    if descriptor:
        with suppress(BrokenPipeError):
            os.write(int(descriptor), f"{line}\n".encode())


def end_with_parent() -> None:
    """End this process when those who hold its lifeline have ended; by force if need be."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
