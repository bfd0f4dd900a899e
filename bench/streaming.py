"""Streaming: what a reply costs until its first content, and for each chunk of it."""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench import stack
from bench.bare import STREAMS
from bench.client import Client
from bench.code import Code
from bench.table import table
from local import ROOT
from parley.bootstrap import services
from parley.domain.ids import ConversationId

CHAT = 4712
STORED = 100
"""Messages in the stored conversation: more than are read for a turn."""

START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one stream in seconds: until the first content, until its end, of the processor."""

    first: float
    whole: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Case:
    """One way to ask for a stream, and what was measured of it."""

    name: str
    request: Callable[[int], tuple[str, dict[str, Any]]]
    """Path and body that ask for a stream of so many deltas."""
    client: Client
    server: int
    """The server's process id."""
    short: list[Sample] = field(default_factory=list)
    """Streams of one delta."""
    long: list[Sample] = field(default_factory=list)
    """Streams of many."""

    def ask(self, deltas: int) -> bytes:
        """Stream a reply of so many deltas, keep the times, and return what was streamed."""
        path, body = self.request(deltas)
        used = cpu_seconds(self.server)
        streamed = self.client.stream(path, body)
        used = cpu_seconds(self.server) - used
        samples = self.short if deltas == 1 else self.long
        samples.append(Sample(streamed.first, streamed.whole, used))
        return streamed.body


def measure(code: Code, *, short_runs: int, long_runs: int, deltas: int) -> list[Case]:
    """Stream replies of one delta and of many, all cases in turn; the last is the bare server."""
    asyncio.run(_prepare())
    with ExitStack() as until_end:
        port, server = until_end.enter_context(product(code))
        completion = Client(port, stack.KEY)
        until_end.callback(completion.close)
        folder = Path(until_end.enter_context(tempfile.TemporaryDirectory()))
        for length in (1, deltas):
            streamed = completion.stream(*_completion(length))
            (folder / str(length)).write_bytes(streamed.body)
        message = Client(port, stack.KEY)
        until_end.callback(message.close)
        bare_port, bare_server = until_end.enter_context(bare(code, folder))
        plain = Client(bare_port, stack.KEY)
        until_end.callback(plain.close)
        cases = [
            Case("stateless completion", _completion, completion, server),
            Case("stored conversation", _message, message, server),
            Case("bare", _bare, plain, bare_server),
        ]
        for case in cases:
            for length in (1, deltas):
                case.ask(length)
            case.short.clear()
            case.long.clear()
        for length in [1] * short_runs + [deltas] * long_runs:
            for case in cases:
                case.ask(length)
    return cases


def report(code: Code, cases: list[Case], *, deltas: int) -> str:
    """The medians as a table, and their ratios."""
    figures = {case.name: _figures(case, deltas) for case in cases}
    *products, compared = figures
    rows: list[tuple[str | float, ...]] = [(name, *each) for name, each in figures.items()]
    for name in products:
        ratios = map(_ratio, figures[name], figures[compared])
        rows.append((f"{name} : {compared}", *ratios))
    shorts, longs = len(cases[0].short), len(cases[0].long)
    return table(
        "2. Streaming: the streaming function's server over HTTP, a scripted model without delay",
        ("", "first content, ms", "CPU of all, ms", "a chunk, µs CPU", "a chunk, µs wall"),
        rows,
        f"Left: medians of {shorts} streams of 1 delta. Right: {longs} of {deltas:,} deltas, less",
        f"those of 1, through {deltas - 1:,}. Bare: the same bytes from a Starlette response.",
        f"The stored conversation has {STORED} messages or more, of which 64 are read.",
        f"Code: {code.description}.",
    )


def _ratio(product: float, compared: float) -> float:
    """How many times as much; not a number where too little was compared to be measured."""
    return product / compared if compared else math.nan


def _figures(case: Case, deltas: int) -> tuple[float, float, float, float]:
    short, long = case.short, case.long

    def per_chunk(part: str) -> float:
        longer = median(getattr(sample, part) for sample in long)
        shorter = median(getattr(sample, part) for sample in short)
        return 1e6 * float(longer - shorter) / (deltas - 1)

    return (
        1e3 * median(sample.first for sample in short),
        1e3 * median(sample.cpu for sample in short),
        per_chunk("cpu"),
        per_chunk("whole"),
    )


async def _prepare() -> None:
    store = services().store
    await stack.converse(store, await stack.conversation(store, CHAT), STORED)


def _script(deltas: int) -> str:
    return "script:" + json.dumps([{"text": "x", "repeat": deltas}])


def _completion(deltas: int) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": _script(deltas)}]
    return "/v1/chat/completions", {"model": "any", "stream": True, "messages": messages}


def _message(deltas: int) -> tuple[str, dict[str, Any]]:
    return f"/v1/chat/{ConversationId(CHAT)}", {"stream": True, "content": _script(deltas)}


def _bare(deltas: int) -> tuple[str, dict[str, Any]]:
    return f"/{deltas}", {}


@contextmanager
def product(code: Code) -> Iterator[tuple[int, int]]:
    """The streaming function as its start script serves it: port and process id."""
    environment = {
        **code.environment,
        "LAMBDA_TASK_ROOT": str(code.task),
        "PATH": f"{code.python.parent}{os.pathsep}{os.defpath}",
    }
    with _serving([code.task / "streaming" / "run.sh"], environment, "/health") as served:
        yield served


@contextmanager
def bare(code: Code, streams: Path) -> Iterator[tuple[int, int]]:
    """The server to compare with, started with the same options: port and process id."""
    environment = code.environment
    environment["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    environment[STREAMS] = str(streams)
    command: list[Path | str] = [code.python, "-P", "-m", "uvicorn", "bench.bare:app"]
    command += ["--log-level", "warning", "--no-server-header"]
    with _serving(command, environment, "/") as served:
        yield served


@contextmanager
def _serving(
    command: Sequence[Path | str], environment: Mapping[str, str], readiness: str
) -> Iterator[tuple[int, int]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    environment = {**environment, "PORT": str(port), "UVICORN_PORT": str(port)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(f"http://127.0.0.1:{port}{readiness}", process)
            yield port, process.pid
        finally:
            process.terminate()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    gives_up = time.monotonic() + START_SECONDS
    while time.monotonic() < gives_up and process.poll() is None:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.02)  # until it listens
        else:
            return
    raise RuntimeError("The server did not start.")


def cpu_seconds(process: int) -> float:
    """Processor time that another process has used; not a number where this can't be told."""
    if sys.platform != "linux":
        return math.nan
    # The clock clock_getcpuclockid(3) gives for a process; /proc counts in hundredths of a second.
    return time.clock_gettime(~process << 3 | 2)
