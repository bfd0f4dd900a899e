"""A running local stack, and the environment in which the clients of others are installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import ROOT
from tests.e2e.conftest import Stack, running

PYTHON = ROOT / ".venv-clients" / "bin" / "python"

KEY = "sk_test_conformance"
"""Of a tenant whose every model is the scripted one: it plays the script in the last message."""

collect_ignore = ["python"]  # run in environments of their own, by test_python_clients.py


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all clients."""
    with running(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that has the clients."""
    if not PYTHON.exists():
        pytest.skip("The clients aren't installed: run make test-clients.")
    return PYTHON
