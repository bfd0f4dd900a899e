"""The examples of docs/models.md run as they stand there, and lead where they say."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local import ROOT
from parley.adapters.models.scripted import ScriptedModel
from tests.e2e.conftest import Stack, running
from tests.support import bedrock_server, openai_server
from tests.support.upstream import Exchange, Upstream, upstream_beside

BEDROCK, SERVER, FALLBACK = re.findall(
    r"^```bash\n(.*?)^```", (ROOT / "docs" / "models.md").read_text(), re.DOTALL | re.MULTILINE
)[:3]

KEYS = {"VLLM_API_KEY": "sk-vllm", "OPENAI_API_KEY": "sk-openai"}


@pytest.fixture(scope="module")
def bedrock() -> Iterator[Upstream]:
    with upstream_beside(bedrock_server.serving(ScriptedModel())) as server:
        yield server


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream_beside(openai_server.serving(ScriptedModel())) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, bedrock: Upstream) -> Iterator[Stack]:
    """A stack whose Bedrock is the scripted one, with a tenant that has nothing yet."""
    folder = tmp_path_factory.mktemp("stack")
    with running(folder, AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url) as started:
        run(started, "./parley tenants create acme")
        yield started


def run(stack: Stack, program: str) -> str:
    ran = subprocess.run(
        ["/usr/bin/env", "bash", "-e", "-o", "pipefail", "-c", program],
        cwd=ROOT,
        env={**os.environ, **KEYS, "DATA_DIR": str(stack.data_dir)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def follow(stack: Stack, example: str, server: Upstream | None = None) -> str:
    """Do as an example says, here and with the scripted server; returns a key of the tenant's.

    The key is a new one, so that nobody remembers the routes it had before.
    """
    here = example.replace(" --stack parley-prod", "")
    assert here.count("./parley") == example.count("./parley") > 0
    if server is not None:
        here, count = re.subn(r'(?<="base_url": ")[^"]+', f"{server.url}/v1", here)
        assert count
    run(stack, here)
    made: dict[str, str] = json.loads(run(stack, "./parley keys create acme --json"))
    return made["key"]


def ask(stack: Stack, key: str, model: str, **fields: Any) -> requests.Response:
    return requests.post(
        f"{stack.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": model, "messages": [{"role": "user", "content": "Hello."}], **fields},
        timeout=60,
    )


def test_a_tenant_is_pointed_at_bedrock(stack: Stack, bedrock: Upstream) -> None:
    key = follow(stack, BEDROCK)

    reply = ask(stack, key, "claude")

    assert reply.status_code == 200, reply.text
    model = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert reply.headers["x-parley-route"] == f"bedrock/{model}"
    asked = bedrock.requests[-1]
    assert asked.target.startswith(f"/model/{model.replace(':', '%3A')}/converse-stream")
    assert asked.json["inferenceConfig"]["maxTokens"] == 4096
    assert "/eu-central-1/bedrock/" in asked.headers["authorization"]


def test_a_tenant_is_pointed_at_vllm_or_ollama(stack: Stack, server: Upstream) -> None:
    key = follow(stack, SERVER, server)

    with_key, without = ask(stack, key, "qwen"), ask(stack, key, "llama", stream=True)

    assert (with_key.status_code, without.status_code) == (200, 200), with_key.text
    assert with_key.headers["x-parley-route"] == "openai_compatible/Qwen/Qwen3-8B"
    assert without.headers["x-parley-route"] == "openai_compatible/llama3.2"
    vllm, ollama = server.requests
    assert (vllm.target, vllm.json["model"]) == ("/v1/chat/completions", "Qwen/Qwen3-8B")
    assert vllm.headers["authorization"] == "Bearer sk-vllm"
    assert ollama.json["model"] == "llama3.2"
    assert "authorization" not in ollama.headers


def test_what_a_route_lacks_is_refused_by_name(stack: Stack, server: Upstream) -> None:
    key = follow(stack, SERVER, server)

    reply = ask(stack, key, "llama", logprobs=True)

    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "logprobs"
    assert not server.requests


def test_a_tenant_is_pointed_at_two_with_fallback(
    stack: Stack, server: Upstream, bedrock: Upstream
) -> None:
    key = follow(stack, FALLBACK, server)

    first = ask(stack, key, "assistant", max_tokens=5)
    server.respond = fail
    second = ask(stack, key, "assistant", max_tokens=5, stream=True)

    assert first.headers["x-parley-route"] == "first"
    assert server.requests[0].json["max_completion_tokens"] == 5
    assert server.requests[0].headers["authorization"] == "Bearer sk-openai"
    assert second.headers["x-parley-route"] == "second"
    assert second.text.rstrip().endswith("data: [DONE]")
    assert len(server.requests) == 2
    assert "claude-haiku" in bedrock.requests[-1].target


async def fail(exchange: Exchange) -> None:
    await exchange.answer(503, b"")
