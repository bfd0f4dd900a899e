"""A tenant's routes are replaced as a whole or not at all, and shown as they are set."""

import json
from pathlib import Path

from tests.admin.conftest import Program

ROUTES = {
    "smart": [
        {"backend": "bedrock", "model": "m", "context_window": 4096},
        {"backend": "scripted", "model": "m", "name": "stand-in"},
    ],
    "*": [{"backend": "scripted", "model": "*"}],
}


def test_routes_are_set_and_shown(program: Program, tenant: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    file.write_text(json.dumps(ROUTES), "utf-8-sig")

    told = program.do("models", "set", tenant, str(file))

    assert told["models"] == {"smart": ["bedrock/m", "stand-in"], "*": ["scripted/*"]}
    assert program.do("models", "show", tenant) == ROUTES
    program.do("models", "set", tenant, "-", says=json.dumps({"*": ROUTES["*"]}))
    assert program.do("models", "show", tenant) == {"*": ROUTES["*"]}


def test_wrong_routes_are_refused_by_line_and_change_nothing(program: Program, tenant: str) -> None:
    program.do("models", "set", tenant, "-", says=json.dumps(ROUTES))

    said = program.refused("models", "set", tenant, "-", says='{"m": [\n{"backend": "magic"}]}')

    assert "nothing has changed" in said
    assert "line 2: `backend` must be one of" in said
    assert program.do("models", "show", tenant) == ROUTES


def test_routes_of_nobody_are_refused(program: Program, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.json")

    assert "There is no tenant nobody" in program.refused(
        "models", "set", "nobody", "-", says=json.dumps(ROUTES)
    )
    assert "can't be read" in program.refused("models", "set", "nobody", missing)


def test_a_key_is_kept_and_never_shown(program: Program) -> None:
    answer = program.run("models", "key", "vllm", says="sk-1\n")

    assert answer.code == 0
    assert "/upstreams/vllm" in answer.out
    assert "sk-1" not in answer.out + answer.err
    assert "no name of a secret" in program.refused("models", "key", "v l", says="sk-1")
