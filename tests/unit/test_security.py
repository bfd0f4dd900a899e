"""The threat model in docs/security.md names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| .+ \| .+ \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_threat_names_a_test_that_exists() -> None:
    document = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    proofs = [proof for proof in ROW.findall(document) if proof != "proof"]
    assert len(proofs) > 30
    for proof in proofs:
        named = TEST.findall(proof)
        assert named, proof
        for path, test in named:
            assert test in defined_in(ROOT / path), f"{path}::{test}"
