"""Starts the processes of the stack, restarts the front door on changes and ends them all."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket

from watchfiles import PythonFilter, awatch

from local import LAYER, ROOT, TEMPLATE, environment, screen, sockets
from local.folder import AWS_ADDRESS, Folder, FolderBusyError
from local.processes import READY, Child, ChildFailedError, report
from local.template import TemplateError, load

HOST = "127.0.0.1"
"""No other: anyone who reaches the stack knows its keys."""

CODE = (ROOT / "functions", LAYER)
"""What the front door's process has imported, and takes up anew when it changes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What this run was asked for."""

    port: int
    data_dir: Path
    reload: bool


class StackError(Exception):
    """The stack can't start or go on; the message says why and what to do."""


async def run(options: Options) -> int:
    """Run the stack until it is told to stop, or fails; return the exit code.

    When it returns, every process that it started has ended.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, signals.put_nowait, number)
    stack = asyncio.create_task(_run(options))
    signalled = asyncio.create_task(signals.get())
    await asyncio.wait({stack, signalled}, return_when=asyncio.FIRST_COMPLETED)
    if signalled.done():
        screen.progress("stopping; replies under way may end first")
        stack.cancel()
        await asyncio.wait({stack})
        return 0
    signalled.cancel()
    try:
        await stack
    except* StackError as errors:
        screen.complain(str(errors.exceptions[0]))
    return 1


async def _run(options: Options) -> None:
    began = time.monotonic()
    async with AsyncExitStack() as cleanup:
        folder = _folder(options.data_dir)
        cleanup.callback(folder.close)
        listener = cleanup.enter_context(_listener(options.port))
        aws = cleanup.enter_context(sockets.listen(HOST, 0))
        aws_url = f"http://{HOST}:{aws.getsockname()[1]}"
        address = folder.path / AWS_ADDRESS
        address.write_text(aws_url)
        cleanup.callback(address.unlink, missing_ok=True)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        variables = _variables(aws_url, url)
        log = folder.path / "ministack.log"
        output = cleanup.enter_context(log.open("ab"))
        # Held by the front door too, so that it can store what is under way when this process dies.
        lifeline, held = os.pipe()
        cleanup.callback(os.close, lifeline)
        cleanup.callback(os.close, held)
        function_log = cleanup.enter_context((folder.path / "functions.log").open("a"))

        def start_store() -> Awaitable[Child]:
            return Child.start(
                "local.store",
                f"--listener={aws.fileno()}",
                f"--data-dir={folder.path}",
                environment=variables,
                pass_fds=(aws.fileno(), folder.descriptor),
                output=output,
                lifeline=lifeline,
            )

        def start_front_door() -> Awaitable[Child]:
            return Child.start(
                "local.front_door",
                f"--listener={listener.fileno()}",
                environment=variables,
                pass_fds=(listener.fileno(), folder.descriptor, held),
                output=partial(screen.output, function_log),
            )

        store = Keeper(start_store, f"The AWS services have ended; {log} says why.")
        door = Keeper(start_front_door, "The handlers can't be served; the reason stands above.")
        cleanup.push_async_callback(store.stop)
        cleanup.push_async_callback(door.stop)
        async with asyncio.TaskGroup() as group:
            group.create_task(store.start())
            group.create_task(door.start())
        async with asyncio.TaskGroup() as group:
            group.create_task(store.keep())
            group.create_task(door.keep())
            if options.reload:
                group.create_task(_reload(door))
            await asyncio.sleep(0)  # they begin: a change made from now on is seen
            place = screen.Place(url, aws_url, folder.path)
            screen.ready(place, time.monotonic() - began, reloads=options.reload)
            report(place.url)
            report(READY)


class Keeper:
    """Keeps one child process running, or the one that has taken its place."""

    def __init__(self, start: Callable[[], Awaitable[Child]], complaint: str) -> None:
        self._start = start
        self._complaint = complaint
        self._starting: asyncio.Future[Child] | None = None
        self._running = asyncio.Event()

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            StackError: it ends instead.
        """
        # Shielded, because a process whose start is cut off halfway could not be ended.
        self._starting = asyncio.ensure_future(self._start())
        child = await asyncio.shield(self._starting)
        try:
            await child.ready(screen.progress)
        except ChildFailedError as error:
            await self.stop()
            raise StackError(str(error) or self._complaint) from error
        self._running.set()

    async def stop(self) -> None:
        """End the process, if it runs."""
        self._running.clear()
        starting, self._starting = self._starting, None
        if starting is not None:
            await (await starting).stop()

    async def keep(self) -> None:
        """Return never.

        Raises:
            StackError: the process has ended, and nobody has stopped it.
        """
        while True:
            await self._running.wait()
            if self._starting is not None:
                await self._starting.result().wait()
            if self._running.is_set():
                raise StackError(self._complaint)


async def _reload(door: Keeper) -> None:
    """Start the front door anew whenever code has changed.

    Its listening socket stays open in between, so that no client is refused.
    """
    async for changes in awatch(*CODE, watch_filter=PythonFilter()):
        began = time.monotonic()
        changed = sorted(str(Path(path).relative_to(ROOT)) for _, path in changes)
        screen.progress(f"{', '.join(changed)} changed")
        await door.stop()
        try:
            await door.start()
        except StackError as error:
            screen.complain(f"{error} The next change is tried again.")
        else:
            screen.progress(f"ready again in {time.monotonic() - began:.1f} s")
            report(READY)


def _folder(path: Path) -> Folder:
    try:
        return Folder(path)
    except FolderBusyError as error:
        raise StackError(
            f"Another local stack (process {error}) uses {path}: "
            "stop it, or run beside it with PORT=8001 DATA_DIR=.local-2."
        ) from error
    except OSError as error:
        raise StackError(f"{path} can't hold the data: {error.strerror}.") from error


def _listener(port: int) -> socket:
    try:
        return sockets.listen(HOST, port)
    except sockets.PortBusyError as error:
        raise StackError(
            f"Port {port} is taken by another program: stop it, or choose another with PORT=8001."
        ) from error
    except OSError as error:
        raise StackError(f"Port {port} can't be opened: {error.strerror}.") from error


def _variables(aws_url: str, url: str) -> Mapping[str, str]:
    try:
        return environment.of_functions(load(TEMPLATE), os.environ, aws_url, url)
    except TemplateError as error:
        raise StackError(str(error)) from error
