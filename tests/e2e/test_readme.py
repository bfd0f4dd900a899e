"""The examples in the README run as they stand there, against the running stack."""

import re
import subprocess
import sys

import pytest

from local import ROOT
from tests.e2e.conftest import Stack

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_readme_runs(stack: Stack, example: str) -> None:
    assert "http://127.0.0.1:8000" in example
    program = example.replace("http://127.0.0.1:8000", stack.url)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
