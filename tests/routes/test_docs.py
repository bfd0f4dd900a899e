"""The documentation's routes through their event files, and what the documentation tells."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import openapi
from parley.dialects.docs.document import FILE
from parley.dialects.docs.page import ASSETS, asset
from parley.dialects.registry import DIALECTS
from parley.domain.errors import NotFound
from tests.routes.conftest import ROOT, Invoke

DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


PUBLIC = {"GET /health", "GET /health/ready"}
"""Operations that need no credential, and that no request can spoil."""

EVERY_CALLER_S_OPERATION = pytest.mark.parametrize(
    "operation",
    [pytest.param(operation, id=name) for name, operation in operations() if name not in PUBLIC],
)
EVERY_OPERATION = pytest.mark.parametrize(
    "operation", [pytest.param(operation, id=name) for name, operation in operations()]
)


# Served ------------------------------------------------------------------------------------------


def test_get_docs_answers_everybody_with_a_page(invoke: Invoke) -> None:
    reply = invoke("docs/get_docs")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert "x-request-id" in reply.headers


def test_get_docs_loads_nothing_from_elsewhere(invoke: Invoke) -> None:
    reply = invoke("docs/get_docs")
    assert "://" not in reply.text
    named = re.findall(r'(?:src|href|data-document)="([^"]+)"', reply.text)
    assert sorted(named) == [
        "/prod/docs/openapi.json",
        "/prod/docs/swagger-ui-bundle.js",
        "/prod/docs/swagger-ui.css",
        "data:,",
    ]


def test_get_docs_allows_its_own_scripts_and_no_others(invoke: Invoke) -> None:
    reply = invoke("docs/get_docs")
    policy = dict(
        directive.split(" ", 1)
        for directive in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    [script] = re.findall(r"<script>(.*?)</script>", reply.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


def test_get_openapi_answers_everybody_with_the_document(invoke: Invoke) -> None:
    reply = invoke("docs/get_openapi")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["openapi"].startswith("3.1")
    assert reply.json["servers"] == [{"url": "/prod"}]
    assert reply.json["paths"] == DOCUMENT["paths"]


def test_get_file_answers_with_the_same_document(invoke: Invoke) -> None:
    assert invoke("docs/get_file").text == invoke("docs/get_openapi").text


def test_the_pages_own_files_are_there_and_no_others() -> None:
    for name in ASSETS:
        assert len(asset(name)) > 100_000
    for name in ("favicon.png", "../core.py", "redoc.standalone.js", ""):
        with pytest.raises(NotFound):
            asset(name)


# Told --------------------------------------------------------------------------------------------


def test_the_document_is_in_step_with_the_routes() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.generate(), "run make openapi"


def test_every_route_of_every_api_is_in_the_document() -> None:
    told = {
        (path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    served = {
        (path.replace("+}", "}"), method)  # OpenAPI knows no variable of several segments
        for dialect in DIALECTS
        for path, methods in dialect.routes.items()
        for method in methods.split(", ")
        if dialect.name != "docs"
    }
    assert told == served


@EVERY_OPERATION
def test_every_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]


def test_what_everybody_may_ask_names_no_credential() -> None:
    told = dict(operations())
    assert all("security" not in told[name] for name in PUBLIC)


@EVERY_CALLER_S_OPERATION
def test_every_operation_names_every_credential(operation: dict[str, Any]) -> None:
    of_tenants: list[dict[str, list[str]]] = [{"ApiKeyBearer": []}, {"ApiKey": []}, {"Token": []}]
    is_for_operators = operation["tags"] == ["admin"]
    assert operation["security"] == ([{"SigV4": []}] if is_for_operators else of_tenants)


@EVERY_CALLER_S_OPERATION
def test_every_operation_tells_what_it_answers_and_how_it_fails(operation: dict[str, Any]) -> None:
    succeeds = [status for status in operation["responses"] if status.startswith("2")]
    assert succeeds
    assert all(operation["responses"][status].get("content") for status in succeeds)
    for status in ("4XX", "5XX"):
        told = operation["responses"][status]["content"]["application/json"]
        assert told["schema"]
        assert told["examples"]


@EVERY_OPERATION
def test_every_body_has_an_example(operation: dict[str, Any]) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "examples" in schema:
            continue
        bodies = [
            form for form in schema.get("anyOf", schema.get("oneOf", [schema])) if "$ref" in form
        ]
        assert bodies
        for body in bodies:
            name = body["$ref"].rsplit("/", 1)[-1]
            assert DOCUMENT["components"]["schemas"][name]["examples"]


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)


def test_every_credential_is_described() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {
        "ApiKeyBearer": "http",
        "ApiKey": "apiKey",
        "Token": "http",
        "SigV4": "apiKey",
    }
    assert schemes["ApiKey"]["name"] == "X-API-Key"
    assert schemes["Token"]["bearerFormat"] == "JWT"


def test_no_secret_is_in_the_document() -> None:
    assert not re.search(r"sk_(test|prod)_\w{10}", Path(FILE).read_text(encoding="utf-8"))


def test_the_document_is_part_of_the_check() -> None:
    assert "local.openapi --check" in (ROOT / "Makefile").read_text(encoding="utf-8")
