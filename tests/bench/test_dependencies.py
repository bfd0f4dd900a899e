"""The document of dependencies is complete, and its figures can be had."""

from bench.dependencies import declared, figures
from local import ROOT

DOCUMENT = ROOT / "docs" / "dependencies.md"


def test_every_declared_dependency_is_in_the_document() -> None:
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    named = {cells[1].strip() for cells in rows}
    missing = {
        f"{requirement.name} ({group})"
        for group, requirements in declared().items()
        for requirement in requirements
        if requirement.name not in named
    }
    assert not missing


def test_the_document_names_nothing_that_is_not_declared() -> None:
    names = {requirement.name for group in declared().values() for requirement in group}
    cells = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    named = {row[1].strip() for row in cells} - {"package", ":---", "---"}
    assert named <= names


def test_a_dependency_has_a_version_a_licence_and_a_size() -> None:
    [mangum] = (each for each in declared()["runtime"] if each.name == "mangum")
    found = figures(mangum)
    assert found.version[0].isdigit()
    assert "MIT" in found.licence
    assert 0 < found.megabytes < found.megabytes_with_needed
