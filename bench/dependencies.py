"""`python -m bench.dependencies`: what is installed, its licence, its size, its imports."""

import statistics
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.code import Code, code
from bench.table import table
from local import ROOT

RUNS = 5
_PROGRAM = "import time, {0}; print(time.process_time())"


def main() -> None:
    """Print a table for each group of pyproject.toml."""
    measured = code()
    for group, requirements in declared().items():
        rows = [[requirement.name, *astuple(figures(requirement))] for requirement in requirements]
        header = ["", "version", "licence", "MB", "MB with needed"]
        if group == "runtime":
            header.append("import, ms")
            for row in rows:
                row.append(_import_ms(measured, row[0]))
        print(table(group, header, rows))
    print(
        "MB: installed, without bytecode; the second with all that it needs. Import: median\n"
        f"processor time of {RUNS} fresh interpreters, less that of one which imports nothing;\n"
        "what several import is counted for each of them.\n"
        f"Imported from: {measured.description}."
    )


def declared() -> Mapping[str, list[Requirement]]:
    """What pyproject.toml declares: the deployed packages as `runtime`, then every group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups: dict[str, list[Any]] = {
        "runtime": project["project"]["dependencies"],
        **project["dependency-groups"],
    }
    return {
        name: [Requirement(entry) for entry in entries if isinstance(entry, str)]
        for name, entries in groups.items()
    }


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to know of an installed package."""

    version: str
    licence: str
    megabytes: float
    megabytes_with_needed: float
    """Its own and those of all packages it needs, which others may need, too."""


def figures(requirement: Requirement) -> Figures:
    """The figures of a required package, as it is installed."""
    installed = distribution(requirement.name)
    needed = dict(_needed(requirement))
    return Figures(
        installed.version,
        licence(installed),
        _megabytes(installed),
        sum(map(_megabytes, needed.values())),
    )


def licence(installed: Distribution) -> str:
    """The licence as the package's metadata name it, in SPDX's words where it uses them."""
    metadata = installed.metadata.json
    named = str(metadata.get("license_expression") or metadata.get("license") or "")
    if named and "\n" not in named:
        return named
    classifiers = installed.metadata.get_all("Classifier") or []
    words = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    return ", ".join(words) or "not stated"


def _needed(requirement: Requirement) -> Iterator[tuple[str, Distribution]]:
    """The package and, through and through, what it needs on this machine."""
    seen: set[tuple[str, frozenset[str]]] = set()
    wanted = [requirement]
    while wanted:
        each = wanted.pop()
        name = canonicalize_name(each.name)
        if (name, frozenset(each.extras)) in seen:
            continue
        seen.add((name, frozenset(each.extras)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # left out on purpose: see [tool.uv] in pyproject.toml
            continue
        yield name, installed
        extras = [{"extra": extra} for extra in ("", *each.extras)]
        wanted += (
            needed
            for needed in map(Requirement, installed.requires or [])
            if needed.marker is None or any(map(needed.marker.evaluate, extras))
        )


def _megabytes(installed: Distribution) -> float:
    files = (Path(str(file.locate())) for file in installed.files or [] if file.suffix != ".pyc")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _import_ms(measured: Code, name: str) -> float:
    """Processor time of importing a package, in milliseconds."""
    module = _module(distribution(name))
    times: dict[str, list[float]] = {"sys": [], module: []}
    _time(measured, module)  # writes its bytecode
    for _ in range(RUNS):
        for each, some in times.items():
            some.append(_time(measured, each))
    nothing, something = map(statistics.median, times.values())
    return 1000 * (something - nothing)


def _module(installed: Distribution) -> str:
    """What the package is called in an import statement."""
    tops = (file.parts[0] for file in installed.files or [] if file.parts[1:] == ("__init__.py",))
    return next(tops)


def _time(measured: Code, module: str) -> float:
    command: list[str | Path] = [measured.python, "-S", "-P", "-c", _PROGRAM.format(module)]
    done = subprocess.run(
        command, env=measured.environment, capture_output=True, check=True, text=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
