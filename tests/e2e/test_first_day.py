"""An operator's first day, as docs/operate.md tells it: its commands, as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from local import LAYER, ROOT
from local.folder import AWS_ADDRESS
from tests.e2e.conftest import Stack

GUIDE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
STEPS = {
    title: re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
}
"""The commands under each heading."""

PATIENCE_SECONDS = 60.0
"""How long a revoked key may still be accepted somewhere."""

pytestmark = pytest.mark.timeout(600)


class Shell:
    """A shell at the repository's root, which keeps its variables from one command to the next."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder = folder
        self._stack = stack
        self._variables = folder / "variables"
        self._variables.touch()
        (folder / "local").symlink_to(ROOT / "local")
        (folder / ".venv").symlink_to(sys.prefix)
        # The repository's own would install what has changed, in the middle of the tests.
        assert '-m admin "$@"' in (ROOT / "parley").read_text()
        program = folder / "parley"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m admin "$@"\n')
        program.chmod(0o755)

    def run(self, command: str) -> str:
        """Give a command that has to succeed; what it writes."""
        kept = f'(set -o posix; set) | grep -E "^[a-z_]+=" > "{self._variables}"'
        script = self.folder / "script"
        script.write_text(self._here(f'source "{self._variables}"\n{command}\n{kept}\n'))
        ran = subprocess.run(
            ["/usr/bin/env", "bash", "-euo", "pipefail", str(script)],
            cwd=self.folder,
            env={
                **os.environ,
                "DATA_DIR": str(self._stack.data_dir),
                "PYTHONPATH": f"{ROOT}:{LAYER}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def json(self, command: str) -> Any:
        """The same of a command of the program, which answers in JSON."""
        return json.loads(self.run(f"./parley {command} --json"))

    def variable(self, name: str) -> str:
        """What a variable holds."""
        return self.run(f"echo ${name}").strip()

    def _here(self, script: str) -> str:
        return script.replace("127.0.0.1:8000", self._stack.url.removeprefix("http://"))


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Iterator[Shell]:
    if not shutil.which("curl") or not shutil.which("bash"):
        pytest.skip("the guide is for bash and curl, which aren't on this machine")
    shell = Shell(tmp_path, stack)
    yield shell
    if any(tenant["id"] == "acme" for tenant in shell.json("tenants list")):
        shell.run("./parley tenants delete acme --yes")


def test_the_guides_commands_are_all_run() -> None:
    assert sum(map(len, STEPS.values())) == GUIDE.count("```sh\n")
    assert list(STEPS)[:3] == ["Take on a tenant", "Say who answers", "Serve"]


def test_an_operators_first_day(shell: Shell, stack: Stack) -> None:
    follow(shell, "Take on a tenant")
    limits = shell.json("tenants show acme")["limits"]
    assert (limits["requests_per_minute"], limits["budget"]) == (600, "25.00")
    key, apps_key = shell.variable("key"), shell.variable("apps_key")
    listed = shell.json("keys list acme")
    assert [each["kind"] for each in listed] == ["prod", "test", "prod"]
    assert key not in json.dumps(listed)

    follow(shell, "Say who answers")
    [persona] = shell.json("personas list acme")
    assert (persona["alias"], persona["production"]) == ("guide", 3)
    assert "Be brief" in shell.json("personas show acme guide --version 3")["system_prompt"]
    assert shell.json("catalogue show acme")["size"] > 100

    served = follow(shell, "Serve")
    assert status(stack, apps_key, "/v1/models") == 403  # it is for apps alone
    assert status(stack, key, "/v1/models") == 200
    completion, consultation, *_ = map(json.loads, served.splitlines()[:2])
    assert consultation["product_ids"]

    follow(shell, "See what it was used for")
    said, total = check_report(shell, completion)

    follow(shell, "Change a key")
    assert shell.variable("old") == listed[1]["id"]
    new_key = shell.variable("new_key")
    assert status(stack, new_key, "/v1/models") == 200
    wait_for(stack, key, 401)
    assert status(stack, new_key, "/v1/models") == 200

    follow(shell, "When a person asks")
    exported = (shell.folder / "ada.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in exported] == said
    assert shell.json("conversations list acme ada") == []
    after = shell.json("usage acme --by user")
    assert [row["user"] for row in after["rows"]] == [""]
    assert after["total"] == total
    assert left_of(stack, "acme", "ada") == []  # other tenants have an ada, too

    suspend, delete = STEPS["Part with a tenant"]
    shell.run(suspend)
    wait_for(stack, new_key, 403)
    assert status(stack, "sk_test_wrong", "/v1/models") == 401
    shell.run(delete)
    assert left_of(stack, "acme") == []
    assert status(stack, new_key, "/v1/models") == 401


def check_report(shell: Shell, completion: Any) -> tuple[list[Any], Any]:
    """The report is right to the token and the cent; the lines of ada's export, and its sums."""
    report = shell.json("usage acme --by user,dialect")
    assert {row["dialect"] for row in report["rows"]} == {
        "openai",
        "consultant",
        "apps",
        "personas",
        "tenant",
    }
    assert {row["user"] for row in report["rows"]} == {"ada"}
    said = [json.loads(line) for line in shell.run("./parley users export acme ada").splitlines()]
    usages = [line["usage"] for line in said if line["type"] == "message" and line["usage"]]
    assert len(usages) == 4  # the completion of OpenAI's API isn't a stored conversation's
    total = report["total"]
    assert (total["turns"], total["completed"], total["uncounted"]) == (5, 5, 0)
    usages.append(completion["usage"])
    for tokens in ("prompt_tokens", "completion_tokens"):
        assert total[tokens] == sum(usage[tokens] for usage in usages)
    assert (total["estimated"], total["unpriced"]) == (0, 0)
    spent = total["prompt_tokens"] * Decimal("0.15") + total["completion_tokens"] * Decimal("0.60")
    assert Decimal(total["cost"]) == spent / 1_000_000
    return said, total


def follow(shell: Shell, title: str) -> str:
    """Give the commands under a heading, one after the other; what they write."""
    return "".join(shell.run(command) for command in STEPS[title])


def status(stack: Stack, key: str, path: str) -> int:
    reply = httpx.get(f"{stack.url}{path}", headers={"X-API-Key": key}, timeout=60)
    if reply.status_code == 403:
        assert reply.json()["error"]["code"] in {"out_of_scope", "tenant_suspended"}
    return reply.status_code


def wait_for(stack: Stack, key: str, wanted: int) -> None:
    """Ask with a key until it is answered like this everywhere, which is promised in a minute."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while status(stack, key, "/v1/models") != wanted:
        assert time.monotonic() < ends
        time.sleep(1)  # what is waited for is another process's clock


def left_of(stack: Stack, *names: str) -> list[Any]:
    """Every item of any table in which things have all these names."""
    client = boto3.client("dynamodb", endpoint_url=(stack.data_dir / AWS_ADDRESS).read_text())
    called = [re.compile(rf"(?<![a-z]){name}(?![a-z])") for name in names]
    found = []
    for table in client.list_tables()["TableNames"]:
        for page in client.get_paginator("scan").paginate(TableName=table):
            found += [
                item for item in page["Items"] if all(each.search(str(item)) for each in called)
            ]
    client.close()
    return found
