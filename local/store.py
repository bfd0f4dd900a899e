"""The AWS services of the local stack: ministack with the template's tables and the demo data.

`python -m local.store` runs it alone, in the foreground.
"""

import argparse
import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from socket import socket
from types import ModuleType

import boto3
from hypercorn.asyncio import serve
from hypercorn.config import Config

from local import ROOT, TEMPLATE, environment, sockets
from local.asgi import Receive, Scope, Send
from local.demo_app import seed_conversation
from local.demo_catalogue import seed_catalogue
from local.folder import Folder, FolderBusyError
from local.intrinsics import REGION
from local.processes import READY, end_with_parent, report
from local.provision import create_secrets, create_tables
from local.seed import seed, seed_personas
from local.template import Template, TemplateError, load
from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.secrets import SecretsManager
from parley.adapters.system import SystemClock
from parley.bootstrap import services
from parley.settings import Settings

CHECKPOINT_SECONDS = 1.0
"""How much of the latest work is lost at most when this process is killed; at a stop, none."""

_CHECKPOINT_SHARE = 20
"""Writing checkpoints takes at most one part in so many of this process's time."""


def main() -> int:
    """Run until told to stop; return the exit code."""
    arguments = _arguments()
    try:
        template = load(TEMPLATE)
        if arguments.listener is None:
            Folder(arguments.data_dir)
            listener = sockets.listen(str(arguments.host), arguments.port)
        else:
            end_with_parent()
            listener = sockets.inherited(arguments.listener)
    except FolderBusyError as error:
        print(f"Process {error} keeps its data in {arguments.data_dir} already.", file=sys.stderr)
        return 1
    except sockets.PortBusyError:
        print(f"Port {arguments.port} is taken by another program.", file=sys.stderr)
        return 1
    except (TemplateError, OSError) as error:
        print(f"The local store can't start: {error}", file=sys.stderr)
        return 1
    host, port = listener.getsockname()
    os.environ |= environment.of_functions(template, os.environ, f"http://{host}:{port}")
    os.environ |= ministack_environment(arguments.data_dir, host, port)
    if arguments.listener is None:
        print(f"AWS services on http://{host}:{port}, data in {arguments.data_dir}; Ctrl-C stops.")
    return asyncio.run(_run(template, listener))


def ministack_environment(data_dir: Path, host: str, port: int) -> Mapping[str, str]:
    """What ministack reads at its import: its data's place, and to leave all else alone."""
    state = data_dir / "aws"
    state.mkdir(parents=True, exist_ok=True)
    return {
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "SERVICES": "dynamodb,secretsmanager",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state),
        "LOG_LEVEL": "WARNING",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
    }


async def _run(template: Template, listener: socket) -> int:
    ministack = importlib.import_module("ministack.app")  # reads the environment set before
    stopped = asyncio.Event()
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    checkpoints = Checkpoints(ministack)
    serving = asyncio.create_task(serve(checkpoints, config, shutdown_trigger=stopped.wait))  # type: ignore[arg-type]  # ASGI, typed more narrowly there
    checkpointing = asyncio.create_task(checkpoints.run())
    try:
        await asyncio.to_thread(_provision, template)
        await _seed()
        # Until here a signal ended the process at once: there was nothing new to save.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        report(READY)
        await serving
    finally:
        stopped.set()
        checkpointing.cancel()
        await serving
    return 0


def _provision(template: Template) -> None:
    create_tables(template, boto3.client("dynamodb"))
    create_secrets(template, boto3.client("secretsmanager"))


async def _seed() -> None:
    secrets = SecretsManager(boto3.client("secretsmanager"), SystemClock())
    pepper = await secrets.get(Settings.from_environment().pepper_secret)
    await seed(services().directory, pepper)
    await seed_conversation(services().store)
    await seed_personas(services().personas)
    basics = services().basics
    await seed_catalogue(DynamoCatalogues(basics.database, basics.tables))


class Checkpoints:
    """Saves ministack's state soon after each change; by itself it saves at a clean stop only."""

    def __init__(self, ministack: ModuleType) -> None:
        self._ministack = ministack
        self._changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on and notice what may have changed the state."""
        await self._ministack.app(scope, receive, send)
        if scope["type"] == "http" and not _only_reads(scope):
            self._changed.set()

    async def run(self) -> None:
        """Save after changes, for ever."""
        pause = CHECKPOINT_SECONDS
        while True:
            await self._changed.wait()
            await asyncio.sleep(pause)
            self._changed.clear()
            began = time.monotonic()
            await self._save()
            pause = max(CHECKPOINT_SECONDS, (time.monotonic() - began) * _CHECKPOINT_SHARE)

    async def _save(self) -> None:
        """Copy the state here, between two requests, and write it while others are served."""
        sources = self._ministack._build_persistence_save_dict()  # noqa: SLF001 - there is no other way; the version is pinned
        states = {name: read() for name, read in sources.items()}
        copies: dict[str, partial[dict[str, object]]] = {
            name: partial(dict, state) for name, state in states.items() if state
        }
        await asyncio.to_thread(self._ministack.save_all, copies)


def _only_reads(scope: Scope) -> bool:
    target: bytes = dict(scope["headers"]).get(b"x-amz-target", b"")
    return target.rpartition(b".")[2].startswith(
        (b"Get", b"BatchGet", b"Query", b"Scan", b"Describe", b"List")
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.store", description=__doc__)
    parser.add_argument("--host", type=IPv4Address, default="127.0.0.1", help="to listen on")
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".local")
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)  # an open socket
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
