"""What the layers carry is what the code in them asks for."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_layer_keeps_the_description_of_every_service_that_is_called() -> None:
    makefile = (ROOT / "layers" / "dependencies" / "Makefile").read_text()
    kept = re.findall(r"^SERVICES := (.*)$", makefile, re.MULTILINE)[0].split()
    called = {
        service
        for file in (ROOT / "layers" / "parley").rglob("*.py")
        for service in re.findall(r"boto3\.client\(\s*\"([\w-]+)\"", file.read_text())
    }
    assert called <= set(kept)
    assert {"dynamodb", "lambda"} <= called
