"""Every store in turn, behind one fixture."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from parley.adapters.dynamodb.client import Tables
from tests.support.aws import dynamodb_client, make_tables
from tests.support.clock import ManualClock
from tests.support.stores import Stores, in_memory, on_dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(params=["memory", "moto", "ministack"])
def stores(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Stores]:
    """The fake, moto within the process, and ministack as a service: all keep one contract."""
    if request.param == "moto":
        client = request.getfixturevalue("moto_client")
        with mock_aws():
            yield on_dynamodb(client, make_tables(client), clock)
    else:
        yield request.getfixturevalue(f"{request.param}_stores")


@pytest.fixture(scope="session")
def moto_client() -> Iterator["DynamoDBClient"]:
    """A client for use under moto; it is slow to make, and moto's tables aren't kept in it."""
    client = dynamodb_client(None)
    yield client
    client.close()


@pytest.fixture(params=["memory", "ministack"])
def threadsafe_stores(request: pytest.FixtureRequest) -> Stores:
    """The stores that many threads may use at once, which moto's can't: it loses updates."""
    stores: Stores = request.getfixturevalue(f"{request.param}_stores")
    return stores


@pytest.fixture
def memory_stores(clock: ManualClock) -> Stores:
    return in_memory(clock)


@pytest.fixture
def ministack_stores(dynamodb: "DynamoDBClient", tables: Tables, clock: ManualClock) -> Stores:
    return on_dynamodb(dynamodb, tables, clock)
