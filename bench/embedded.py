"""The embedded model: how fast it loads, reads and writes, and what it keeps of the memory."""

import asyncio
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.table import table
from parley.adapters.models.embedded import EmbeddedModel
from parley.domain.conversations import Parameters, Role, Usage
from parley.domain.turns import Completed, CompletionRequest, PromptMessage, TextDelta

RUNS = 3
WORDS_READ = 800
TOKENS_WRITTEN = 128


@dataclass(frozen=True, slots=True)
class Run:
    """What one process measured."""

    load: float
    """Seconds, the library's import included."""
    memory: float
    """Mebibytes that the peak has grown by."""
    read: float
    """Tokens of a prompt in a second."""
    written: float
    """Tokens of a reply in a second."""


def measure(*, runs: int = RUNS) -> list[Run]:
    """Load and ask it in so many fresh processes, one after the other."""
    return [_in_a_process() for _ in range(runs)]


def report(runs: Sequence[Run]) -> str:
    """The medians as a table."""
    middle = [
        median(values) for values in zip(*(asdict(run).values() for run in runs), strict=True)
    ]
    return table(
        "6. The embedded model",
        ["load, s", "memory, MiB", "tokens read a second", "written a second"],
        [middle],
        f"Medians of {len(runs)} processes.",
    )


def _in_a_process() -> Run:
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


async def _measured() -> Run:
    model = EmbeddedModel()
    before, began = _peak(), time.perf_counter()
    await model.load()
    load = time.perf_counter() - began
    read = await _ask(model, "word " * WORDS_READ, max_tokens=1)
    written = await _ask(model, "Count from one up.", max_tokens=TOKENS_WRITTEN)
    return Run(
        load=load,
        memory=(_peak() - before) / 1024,
        read=read.usage.prompt_tokens / read.end,
        written=(written.usage.completion_tokens - 1) / (written.end - written.first),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """When a reply's first piece and its end came, in seconds from the request on."""

    first: float
    end: float
    usage: Usage


async def _ask(model: EmbeddedModel, text: str, *, max_tokens: int) -> _Answer:
    request = CompletionRequest(
        model="embedded",
        messages=(PromptMessage(Role.USER, text),),
        parameters=Parameters(temperature=0.0, max_tokens=max_tokens),
    )
    times: list[float] = []
    usage: Usage | None = None
    began = time.perf_counter()
    async with aclosing(model.complete(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta | Completed):
                times.append(time.perf_counter() - began)
            if isinstance(event, Completed):
                usage = event.usage
    if usage is None:
        raise RuntimeError("the model didn't count its tokens")
    return _Answer(times[0], times[-1], usage)


def _peak() -> float:
    """The most memory that this process has had, in KiB; not a number where this can't be told."""
    if sys.platform != "linux":
        return math.nan
    # getrusage would tell that of the process it was forked from, if that is more.
    [peak] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return float(peak)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_measured()))))
