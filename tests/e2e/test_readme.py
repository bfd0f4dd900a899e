"""The examples in the README run as they stand there, against the running stack."""

import re
import shutil
import subprocess
import sys

import pytest

from local import ROOT
from tests.e2e.conftest import Stack

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```(python|bash)\n(.*?)```", README, flags=re.DOTALL)
HOST = "127.0.0.1:8000"

REFUSED = re.compile(r'"error": ?\{|"type": ?"error"|"status": ?[45]\d\d')
"""An error in any dialect's envelope."""


@pytest.mark.parametrize(("language", "example"), EXAMPLES)
def test_an_example_of_the_readme_runs(stack: Stack, language: str, example: str) -> None:
    if language == "bash" and not shutil.which("curl"):
        pytest.skip("the example is for curl, which isn't on this machine")
    assert HOST in example
    program = example.replace(HOST, stack.url.removeprefix("http://"))
    interpreter = [sys.executable] if language == "python" else ["bash", "-e", "-o", "pipefail"]
    ran = subprocess.run(
        [*interpreter, "-c", program], capture_output=True, text=True, timeout=90, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert not REFUSED.search(ran.stdout), ran.stdout
