"""The guide for whoever runs it, taken at its word."""

import json
import re
import subprocess

import httpx
import pytest

from local import ROOT
from tests.e2e.conftest import Stack

GUIDE = (ROOT / "docs" / "observe.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
QUERIES = re.findall(r"^```logs\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLOUDWATCHS = {"@timestamp", "@initDuration"}
WORDS = {"fields", "filter", "sort", "limit", "stats", "count", "as", "by", "and", "desc"}
OWN_WORDS = {"ispresent", "failures"}


def run(stack: Stack, command: str) -> str:
    command = command.replace("http://127.0.0.1:8000", stack.url)
    command = command.replace(".local/", f"{stack.data_dir}/")
    return subprocess.check_output(["/bin/sh", "-c", command], text=True, timeout=120)


def test_a_pasted_command_works_and_finds_the_lines_of_its_trace(stack: Stack) -> None:
    traced, found, health = COMMANDS
    assert run(stack, traced).lower().startswith(f"traceparent: 00-{TRACE}-")
    lines = [json.loads(line) for line in run(stack, found).splitlines()]
    assert [line["span_kind"] for line in lines] == ["internal", "server"]
    assert len({line["request_id"] for line in lines}) == 1
    assert lines[0]["parent_span_id"] == lines[1]["span_id"]
    assert lines[1]["parent_span_id"] == "00f067aa0ba902b7"
    alive, ready = (
        json.loads(each) for each in run(stack, health).replace("}{", "}\n{").split("\n")
    )
    assert alive == {"status": "ok"}
    assert ready == {"status": "ok", "checks": {"store": "ok", "model": "ok"}}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_lines_have(stack: Stack, query: str) -> None:
    headers = {"Authorization": "Bearer sk_test_conformance"}
    body = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        assert client.get("/v1/chats/unknown").status_code == 404
    log = (stack.data_dir / "functions.log").read_text().splitlines()
    known = {name for line in log if line.startswith("{") for name in json.loads(line)}
    named = set(re.findall(r"[@a-zA-Z_][\w.]*", re.sub(r'"[^"]*"', "", query)))
    assert named - WORDS - OWN_WORDS - CLOUDWATCHS <= known
