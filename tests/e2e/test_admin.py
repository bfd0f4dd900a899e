"""The admin API as operators and others find it: signed requests, and requests that aren't."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from admin.program import app
from local import ROOT, TEMPLATE
from local.signatures import OPERATOR
from local.template import load, resources
from parley.dialects.admin import ADMIN
from tests.e2e.conftest import Stack
from tests.support.signing import Operator, signed

[(_, API)] = resources(load(TEMPLATE), "AWS::Serverless::Api")
SHAPES = API["GatewayResponses"]


@pytest.fixture
def operator(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{stack.url}/admin/v1", auth=Operator(), timeout=60) as client:
        yield client


@pytest.fixture
def tenant(operator: httpx.Client) -> str:
    """A tenant that nobody else uses."""
    name = f"tenant-{uuid.uuid4().hex[:12]}"
    assert operator.post("/tenants", json={"id": name}).status_code == 201
    return name


def shaped(kind: str) -> tuple[int, Any]:
    """The status and the body of the gateway's own answer, as the template has them."""
    shape = SHAPES[kind]
    return shape["StatusCode"], json.loads(shape["ResponseTemplates"]["application/json"])


def test_an_operator_s_signature_opens_the_api(operator: httpx.Client, stack: Stack) -> None:
    reply = operator.get("/tenants", params={"after": "con", "limit": "2"})
    assert reply.status_code == 200
    assert [each["id"] for each in reply.json()["tenants"]] == ["conformance", "demo"]
    lines = (stack.data_dir / "functions.log").read_text().splitlines()
    of_it = [json.loads(line) for line in lines if reply.headers["x-request-id"] in line]
    assert of_it[-1]["operator"] == OPERATOR.arn


def test_without_a_signature_there_is_no_such_path(stack: Stack) -> None:
    status, body = shaped("MISSING_AUTHENTICATION_TOKEN")
    for path in ("/admin/v1/tenants", "/admin/v1/tenants/demo", "/admin/v1/nothing"):
        for headers in ({}, {"X-API-Key": "sk_test_demo"}):
            reply = httpx.get(stack.url + path, headers=headers)
            assert (reply.status_code, reply.json()) == (status, body)
    unknown = httpx.get(f"{stack.url}/nothing")
    assert (unknown.status_code, unknown.json()) == (status, body)


@pytest.mark.parametrize(
    "credentials", [{"secret_key": "wrong"}, {"access_key": "wrong"}, {"service": "s3"}]
)
def test_a_wrong_signature_opens_nothing(stack: Stack, credentials: dict[str, Any]) -> None:
    url = f"{stack.url}/admin/v1/tenants"
    reply = httpx.get(url, headers=signed("GET", url, **credentials))
    assert (reply.status_code, reply.json()) == shaped("INVALID_SIGNATURE")


def test_a_tenant_s_key_in_place_of_a_signature_opens_nothing(stack: Stack) -> None:
    for key in ("sk_test_demo", "sk_prod_demo"):
        headers = {"Authorization": f"Bearer {key}"}
        reply = httpx.get(f"{stack.url}/admin/v1/tenants", headers=headers)
        assert (reply.status_code, reply.json()) == shaped("INVALID_SIGNATURE")


def test_a_signature_opens_none_of_the_tenants_apis(stack: Stack) -> None:
    reply = httpx.get(f"{stack.url}/v1/models", auth=Operator())
    assert reply.status_code == 401


def test_a_tenant_is_taken_on_and_served(operator: httpx.Client, stack: Stack, tenant: str) -> None:
    routes = {"small": [{"backend": "scripted", "model": "any"}]}
    assert operator.put(f"/tenants/{tenant}/models", json=routes).json() == routes
    key = operator.post(f"/tenants/{tenant}/keys", json={"scopes": ["openai"]}).json()
    said = {"role": "user", "content": 'script:[{"text": "Hello"}]'}
    asked = {"model": "small", "messages": [said], "user": "ada"}
    headers = {"Authorization": f"Bearer {key['key']}"}
    completed = httpx.post(f"{stack.url}/v1/chat/completions", json=asked, headers=headers)
    assert completed.status_code == 200, completed.text
    report = operator.get("/usage", params={"tenant": tenant, "by": "user"}).json()
    assert [(row["user"], row["turns"]) for row in report["rows"]] == [("ada", 1)]
    revoked = operator.post(f"/tenants/{tenant}/keys/{key['id']}/revoke").json()
    assert revoked["status"] == "revoked"


def test_a_user_of_any_name_is_handed_out_and_forgotten(
    operator: httpx.Client, stack: Stack, tenant: str
) -> None:
    routes = {"small": [{"backend": "scripted", "model": "any"}]}
    operator.put(f"/tenants/{tenant}/models", json=routes)
    key = operator.post(f"/tenants/{tenant}/keys", json={}).json()["key"]
    name = "ዳዊት/../ä+b c%2F?&=#@example.org"
    headers = {"Authorization": f"Bearer {key}"}
    chat = httpx.post(f"{stack.url}/v1/chats", json={"user": name}, headers=headers)
    assert chat.status_code == 201, chat.text
    # A space is signed as %20; httpx's own way to write a query has a plus sign.
    user_data = f"/tenants/{tenant}/user-data?user={quote(name, safe='')}"
    [line] = operator.get(user_data).text.splitlines()
    assert json.loads(line)["user"] == name
    assert operator.delete(user_data).json()["conversations"] == 1
    assert operator.get(user_data).text == ""


def test_a_body_over_what_a_function_takes_is_refused_by_size(
    operator: httpx.Client, tenant: str
) -> None:
    reply = operator.put(f"/tenants/{tenant}/catalogue", json={"products": ["x" * 6_500_000]})
    assert reply.status_code == 413


GUIDE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
[SECTION] = re.findall(r"^## The same over HTTP\n(.*?)^## ", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(300)
def test_the_commands_of_the_guide_run(stack: Stack) -> None:
    """One after the other in one shell, up to the tenant's end."""
    script = "".join(COMMANDS).replace("http://127.0.0.1:8000", stack.url)
    ran = subprocess.run(
        ["/usr/bin/env", "bash", "-u", "-o", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    errors = [each["error"]["code"] for each in told if "error" in each]
    assert errors == ["invalid_request", "not_found"], ran.stdout + ran.stderr
    assert [each["status"] for each in told if "turns" in each][-1] == "deleting"
    key = next(each["key"] for each in told if "key" in each)
    assert key.startswith("sk_prod_")
    assert '"message":"There is no tenant globex."' in ran.stdout


def test_the_guide_names_every_route() -> None:
    rows = [line.split("|")[1] for line in SECTION.splitlines() if line.startswith("| `")]
    named: set[str] = set()
    for row in rows:
        for path in re.findall(r"`(?:[A-Z]+ )?([/…][^`?]*)", row):
            named.add(path.rpartition("/")[2] or path)
    served = {path.rpartition("/")[2] for path in ADMIN.routes}
    assert served == named


OF_THE_PROGRAM_ALONE = {"models key"}


def test_every_command_of_the_program_has_a_route_beside_it() -> None:
    """In the guide's table, whose rows name several commands of one noun."""
    rows = [line.split("|")[2] for line in SECTION.splitlines() if line.startswith("| `")]
    beside: set[str] = set()
    for row in rows:
        first, *verbs = re.findall(r"`([^`]+)`", row)
        noun = first.partition(" ")[0]
        beside |= {first, *(f"{noun} {verb}" for verb in verbs)}
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    commands = {
        " ".join([noun, *verbs])
        for noun, command in program.commands.items()
        for verbs in (
            [[verb] for verb in command.commands] if isinstance(command, TyperGroup) else [[]]
        )
    }
    assert commands - OF_THE_PROGRAM_ALONE == beside
