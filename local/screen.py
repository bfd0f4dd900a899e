"""What a person at the terminal sees."""

import json
import shlex
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from local.seed import DEMO_KEYS, EMBEDDED_MODELS
from local.socket_gateway import PATH

DIALECTS: Mapping[str, str] = {
    "OpenAI": "/v1",
    "Sessions": "/v1",
    "Tenant": "/api/v1",
    "Apps": "/ai/v1",
    "Personas": "/api/chat",
    "Consultant": "/api/v1",
}
"""Path of each dialect's base URL."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the running stack is found."""

    url: str
    aws_url: str
    data_dir: Path


def progress(line: str) -> None:
    """Say what is going on."""
    print(f"  {_dim('…')} {line}", flush=True)


def complain(sentence: str) -> None:
    """Say what is wrong and what to do about it."""
    print(f"\n  {_bold('✗')} {sentence}\n", file=sys.stderr, flush=True)


def output(log: TextIO, line: str) -> None:
    """Show a line that the front door has printed.

    What functions log is JSON: all of it goes to the log file, and what needs attention is shown.
    """
    try:
        entry = json.loads(line)
        level, message = entry["level"], entry["message"]
    except (ValueError, KeyError, TypeError):
        print(f"  {line}", flush=True)
        return
    print(line, file=log, flush=True)
    if level not in {"DEBUG", "INFO"}:
        print(f"  {_bold(level)} {message}", flush=True)
        if "exception" in entry:
            print(textwrap.indent("\n".join(entry["exception"]), "    "), flush=True)


def ready(place: Place, seconds: float, *, reloads: bool) -> None:
    """Say where everything is and what to try first."""
    model = next(iter(EMBEDDED_MODELS))
    body = (
        f'{{"model": "{model}", "stream": true, '
        '"messages": [{"role": "user", "content": "Hello!"}]}'
    )
    key, other = list(DEMO_KEYS)[:2]
    rows = [
        *((name, f"{place.url}{path}") for name, path in DIALECTS.items()),
        ("Live chats", f"{place.url.replace('http', 'ws', 1)}{PATH}"),
        ("API docs", f"{place.url}/docs"),
        ("Keys", f"{key}  {_dim('test')}   {other}  {_dim('production')}"),
        ("Models", "  ".join(EMBEDDED_MODELS)),
        ("Data", f"{_short(place.data_dir)}  {_dim('kept across restarts')}"),
        ("AWS", f"{place.aws_url}  {_dim('DynamoDB and Secrets Manager')}"),
    ]
    curl = [
        f"curl -N {place.url}/v1/chat/completions",
        f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(body)}",
    ]
    stop = "Ctrl-C stops it." + (
        " Changes in functions/ and layers/ reload by themselves." if reloads else ""
    )
    print(f"\n  {_bold('Parley is ready')} {_dim(f'in {seconds:.1f} s')}\n")
    for name, value in rows:
        print(f"  {_dim(f'{name:<11}')}{value}")
    print(f"\n  {_dim('Try it:')}\n")
    print("    " + " \\\n      ".join(curl))
    print(f"\n  {_dim(stop)}\n", flush=True)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _styled(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


def _bold(text: str) -> str:
    return _styled(text, "1")


def _dim(text: str) -> str:
    return _styled(text, "2")
