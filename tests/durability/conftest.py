"""One deployment for all proofs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from parley.adapters.dynamodb.client import Tables
from tests.support.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def deployment(
    ministack_url: str,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Keep tests apart by the customers they make."""
    made = Deployment(ministack_url, dynamodb, tables, tmp_path_factory.mktemp("processes"))
    with made.zygote:
        yield made
