"""Cold start: from the start of a fresh process to a buffered handler's first reply."""

import asyncio
import json
import operator
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import stack
from bench.code import Code
from bench.table import table
from local import ROOT
from parley.bootstrap import services

PROGRAM = Path(__file__).with_name("first_reply.py")
MODULE = "sessions.get_chat"
EVENT = ROOT / "events" / "sessions" / "get_chat.json"
CHAT_IN_EVENT = 4711
IMPORT_RUNS = 3

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Start:
    """What one start took, in milliseconds."""

    interpreter: float
    imports: float
    clients: float
    """Making the clients of AWS services, which reads their descriptions."""
    first: float
    """The first reply."""
    second: float
    """The same reply again, for comparison."""
    wall: float
    """From the process's start to the first reply."""

    @property
    def cpu(self) -> float:
        """All processor time until the first reply."""
        return self.interpreter + self.imports + self.clients + self.first


def measure(code: Code, *, runs: int) -> dict[str, list[Start]]:
    """Start with bytecode and without, in turn, so many times each."""
    asyncio.run(stack.conversation(services().store, CHAT_IN_EVENT, user="user-81", tenant="demo"))
    starts: dict[str, list[Start]] = {"with bytecode": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        without = _only_the_standard_librarys(code, Path(folder))
        start(code, {})  # writes the bytecode of a source tree
        for _ in range(runs):
            starts["with bytecode"].append(start(code, {}))
            starts["without"].append(start(code, without))
    return starts


def report(code: Code, starts: Mapping[str, list[Start]]) -> str:
    """The medians as a table, and their ratio."""
    names = ("interpreter", "imports", "clients", "first", "cpu", "wall", "second")
    figures = {
        kind: [median(getattr(start, name) for start in some) for name in names]
        for kind, some in starts.items()
    }
    quick, slow = figures.values()
    rows: list[tuple[str | float, ...]] = [(kind, *each) for kind, each in figures.items()]
    return table(
        "1. Cold start: process start to first reply of GET /v1/chats/{chatId}, ms",
        ("", "interpreter", "imports", "clients", "first reply", "in all", "wall", "second reply"),
        [*rows, ("ratio", *map(operator.truediv, slow, quick))],
        "Processor time, but for the wall clock. Clients: of AWS services; the first request makes",
        "them. The second reply is the same as the first, and in no sum.",
        f"Medians of {len(starts['without'])} starts each, in turn. Code: {code.description}.",
        "Without: the product and its packages; the standard library always has its bytecode.",
    )


def start(code: Code, environment: Mapping[str, str]) -> Start:
    """Start a process, let it answer the event, and take the times."""
    began = time.monotonic()
    output = _run(code, environment).stdout
    told = json.loads(output.splitlines()[-1])
    if told["status"] != 200:
        raise RuntimeError(f"The function answered {told['status']}.")
    interpreter, imported, connected, replied, again = (1000 * each for each in told["cpu"])
    return Start(
        interpreter=interpreter,
        imports=imported - interpreter,
        clients=connected - imported,
        first=replied - connected,
        second=again - replied,
        wall=1000 * (told["at"] - began),
    )


def imports(code: Code) -> str:
    """Which packages the time of imports goes to, as a table."""
    spent = min((_import_times(code) for _ in range(IMPORT_RUNS)), key=Counter.total)
    packages = {path.name.removesuffix(".py") for layer in code.layers for path in layer.iterdir()}
    rows = [(name, spent[name] / 1000) for name in spent if name in packages]
    rows.sort(key=lambda row: -row[1])
    rest = sum(spent.values()) / 1000 - sum(row[1] for row in rows)
    return table(
        "   Imports by package, ms",
        ("package", "its own modules"),
        [
            *rows[:10],
            ("other packages", sum(row[1] for row in rows[10:])),
            ("standard library", rest),
        ],
        f"The quickest of {IMPORT_RUNS} starts under -X importtime, which makes imports dearer.",
    )


def _import_times(code: Code) -> Counter[str]:
    """Microseconds that the modules of each package took in one start."""
    spent: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(_run(code, {}, "-X", "importtime").stderr):
        spent[module.partition(".")[0]] += int(microseconds)
    return spent


def _only_the_standard_librarys(code: Code, folder: Path) -> Mapping[str, str]:
    """The environment in which no module of the code finds bytecode.

    A folder for bytecode is filled by one run, and what belongs to the code is removed from it.
    """
    environment = {"PYTHONPYCACHEPREFIX": str(folder)}
    _run(code, environment)
    for tree in (code.task, *code.layers):
        shutil.rmtree(folder / tree.relative_to(tree.anchor), ignore_errors=True)
    return {**environment, "PYTHONDONTWRITEBYTECODE": "1"}


def _run(
    code: Code, environment: Mapping[str, str], *options: str
) -> "subprocess.CompletedProcess[str]":
    # -S and -P: no package is found but those on PYTHONPATH.
    command: list[str | Path] = [code.python, "-S", "-P", *options, PROGRAM, MODULE, EVENT]
    done = subprocess.run(
        command,
        env={**code.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(f"The function ended with:\n{done.stderr}")
    return done
