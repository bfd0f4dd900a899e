"""The program, in this process, on a data folder whose AWS services are this run's own."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from anyio import to_thread
from typer.testing import CliRunner

from admin.program import app
from local import TEMPLATE
from local.folder import AWS_ADDRESS
from local.intrinsics import Evaluator
from local.provision import create_secrets
from local.template import load
from parley.adapters.dynamodb.client import Tables
from tests.support.clock import ManualClock
from tests.support.stores import Stores, on_dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Answer:
    """What a command has written, and how it has ended."""

    code: int
    out: str
    err: str


class Program:
    """`parley`, as an operator without a terminal starts it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def run(self, *arguments: str, says: str | None = None) -> Answer:
        """Give a command; its exceptions are failures of the test."""
        result = CliRunner(env={"DATA_DIR": str(self.data_dir)}).invoke(
            app, arguments, input=says, catch_exceptions=False
        )
        assert "Traceback" not in result.stderr
        return Answer(result.exit_code, result.stdout, result.stderr)

    def do(self, *arguments: str, says: str | None = None) -> Any:
        """Give a command that has to succeed; what it answers in JSON."""
        answer = self.run(*arguments, "--json", says=says)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    def refused(self, *arguments: str, says: str | None = None) -> str:
        """Give a command that has to fail; the one sentence that says why."""
        answer = self.run(*arguments, says=says)
        assert answer.code != 0
        assert answer.out == ""
        return answer.err.strip()

    async def away(self, *arguments: str) -> Any:
        """`do`, from a test that has an event loop of its own."""
        return await to_thread.run_sync(partial(self.do, *arguments))

    async def run_away(self, *arguments: str) -> Answer:
        """`run`, from a test that has an event loop of its own."""
        return await to_thread.run_sync(partial(self.run, *arguments))

    async def refused_away(self, *arguments: str) -> str:
        """`refused`, from a test that has an event loop of its own."""
        return await to_thread.run_sync(partial(self.refused, *arguments))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory, ministack_url: str, tables: Tables) -> Path:
    """A data folder as a local stack has it while it runs."""
    folder = tmp_path_factory.mktemp("data")
    (folder / AWS_ADDRESS).write_text(ministack_url)
    create_secrets(load(TEMPLATE), boto3.client("secretsmanager", endpoint_url=ministack_url))
    return folder


@pytest.fixture(scope="session")
def pepper(data_dir: Path, ministack_url: str) -> str:
    """What keys are hashed with in these services."""
    name = Evaluator(load(TEMPLATE)).physical_name("PepperSecret")
    client = boto3.client("secretsmanager", endpoint_url=ministack_url)
    text: str = client.get_secret_value(SecretId=name)["SecretString"]
    return text


@pytest.fixture
def program(data_dir: Path) -> Iterator[Program]:
    """The program; what it does to the environment of its process is undone."""
    before = dict(os.environ)
    yield Program(data_dir)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def tenant(program: Program) -> str:
    """A tenant that nobody else uses."""
    name = f"tenant-{uuid4().hex[:12]}"
    program.do("tenants", "create", name)
    return name


@pytest.fixture
def stores(dynamodb: "DynamoDBClient", tables: Tables, tenant: str) -> Stores:
    """The stores of the same tables, in the hands of that tenant, at the present time."""
    stores = on_dynamodb(dynamodb, tables, ManualClock(datetime.now(UTC)))
    stores.tenant = tenant
    return stores
