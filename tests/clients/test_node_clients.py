"""Clients for Node, unmodified, as npm installs them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local import ROOT
from tests.clients.conftest import KEY
from tests.e2e.conftest import Stack

FOLDER = Path(__file__).with_name("node")
INSTALLED = ROOT / ".local" / "clients"
"""Where the clients are kept between runs; the tests are copied there, to find them."""


@pytest.fixture(scope="module")
def node() -> str:
    """The interpreter, once the clients that are locked are there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node's clients need node and npm.")
    lock = (FOLDER / "package-lock.json").read_bytes()
    stamp = INSTALLED / "node_modules" / "installed.json"
    is_current = stamp.exists() and stamp.read_bytes() == lock
    shutil.copytree(FOLDER, INSTALLED, dirs_exist_ok=True)
    if not is_current:
        subprocess.run([npm, "ci"], cwd=INSTALLED, check=True)
        stamp.write_bytes(lock)
    return node


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tests", ["openai.test.mjs", "vercel.test.mjs"])
def test_the_client_notices_nothing(stack: Stack, node: str, tests: str) -> None:
    told = {"PARLEY_BASE_URL": f"{stack.url}/v1", "PARLEY_API_KEY": KEY}
    ran = subprocess.run(
        [node, "--test", tests],
        cwd=INSTALLED,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
