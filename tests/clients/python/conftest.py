"""What the clients are told, and no more: where Parley is, and a key."""

import os

import pytest


@pytest.fixture(scope="session")
def base_url() -> str:
    """The address that OpenAI's clients take."""
    return os.environ["PARLEY_BASE_URL"]


@pytest.fixture(scope="session")
def key() -> str:
    """A key of a tenant whose every model is the scripted one."""
    return os.environ["PARLEY_API_KEY"]


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone."""
    return "asyncio"
