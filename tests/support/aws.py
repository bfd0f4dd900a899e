"""AWS for tests: the environment, a ministack process, and the template's tables."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.intrinsics import Evaluator
from local.provision import create_tables
from local.template import Template, load
from parley.adapters.aws import CONFIG
from parley.adapters.dynamodb.client import Tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
REGION = "us-east-1"
ENVIRONMENT: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
"""What AWS clients in tests find, whatever the developer's shell has."""

START_SECONDS = 30


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """A ministack of its own on the loopback, as its URL; it ends with the block."""
    port = _free_port()
    log = folder / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=folder,
            env={
                **os.environ,
                **ENVIRONMENT,
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "LOG_LEVEL": "WARNING",
                "PERSIST_STATE": "0",
                "TMPDIR": str(folder),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for_port(port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def dynamodb_client(endpoint: str | None) -> "DynamoDBClient":
    """A client with the product's own settings; without an endpoint, for use under moto."""
    # A busy test machine may take longer to connect than a service in its own region ever does.
    config = CONFIG.merge(Config(connect_timeout=10, read_timeout=30))
    return boto3.client("dynamodb", endpoint_url=endpoint, config=config)


def make_tables(client: "DynamoDBClient") -> Tables:
    """Create the template's tables; nothing expires in them but by the clock of a test."""
    template = _template()
    names = create_tables(template, client)
    for table in names:
        expiry = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        if expiry["TimeToLiveStatus"] == "ENABLED":
            client.update_time_to_live(
                TableName=table,
                TimeToLiveSpecification={
                    "AttributeName": expiry["AttributeName"],
                    "Enabled": False,
                },
            )
    name = Evaluator(template).physical_name
    return Tables(
        directory=name("DirectoryTable"),
        conversations=name("ConversationsTable"),
        transient=name("TransientTable"),
        ledger=name("LedgerTable"),
    )


@cache
def _template() -> Template:
    return load(TEMPLATE)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)  # until the process listens
        else:
            return
    raise RuntimeError(f"ministack did not start:\n{log.read_text()}")
