"""Clients for Python, unmodified, each in an environment that has it and nothing of Parley's."""

import os
import subprocess
from pathlib import Path

import pytest

from local import ROOT
from tests.clients.conftest import KEY
from tests.e2e.conftest import Stack

FOLDER = Path(__file__).with_name("python")


@pytest.mark.parametrize(
    ("environment", "tests"),
    [
        (".venv-clients", "test_openai.py"),
        (".venv-clients", "test_langchain.py"),
        (".venv-litellm", "test_openai.py"),
        (".venv-litellm", "test_litellm.py"),
    ],
)
def test_the_client_notices_nothing(stack: Stack, environment: str, tests: str) -> None:
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.skip("The clients aren't installed: run make test-clients.")
    told = {
        "PARLEY_BASE_URL": f"{stack.url}/v1",
        "PARLEY_API_KEY": KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks for prices on the Internet
    }
    ran = subprocess.run(
        [python, "-m", "pytest", "--quiet", tests],
        cwd=FOLDER,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
