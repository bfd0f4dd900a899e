"""Fixtures that every kind of test may use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from parley.adapters.dynamodb.client import Tables
from tests.support.aws import ENVIRONMENT, dynamodb_client, make_tables, ministack
from tests.support.clock import ManualClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def aws_environment() -> Iterator[None]:
    """No test sees the developer's own AWS account."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of AWS services of this run's own; they forget everything at its end."""
    with ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture(scope="session")
def dynamodb(ministack_url: str) -> Iterator["DynamoDBClient"]:
    """A client of ministack's DynamoDB; `tables` are there once that fixture is asked for."""
    client = dynamodb_client(ministack_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def tables(dynamodb: "DynamoDBClient") -> Tables:
    """The template's tables in ministack; keep tests apart by the tenants they use."""
    return make_tables(dynamodb)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()
