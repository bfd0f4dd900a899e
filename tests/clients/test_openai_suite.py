"""OpenAI's own tests of its Python client, as they are, with Parley in place of their mock.

Their package's source carries them; it is downloaded for the test and kept nowhere.
"""

import os
import subprocess
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.e2e.conftest import Stack

SELECTED = "(create and not with_all_params) or list"
"""All parameters at once contradict each other, and whatever names one made-up id is a 404 here."""

FILES = ("tests/api_resources/chat/test_completions.py", "tests/api_resources/test_models.py")


@pytest.fixture(scope="module")
def suite(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source of the client's version that is locked."""
    folder = tmp_path_factory.mktemp("openai")
    wanted = f"openai=={metadata.version('openai')}"
    download = ("-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "openai")
    subprocess.run([python, *download, wanted, "--dest", folder], check=True)
    (archive,) = folder.glob("openai-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.mark.timeout(600)
def test_openais_own_suite_passes(stack: Stack, suite: Path, python: Path) -> None:
    environment = {**os.environ, "TEST_API_BASE_URL": f"{stack.url}/v1"}
    options = ("-q", "--override-ini=addopts=", "-p", "no:cacheprovider")
    ran = subprocess.run(
        [python, "-m", "pytest", *options, "-k", SELECTED, *FILES],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
