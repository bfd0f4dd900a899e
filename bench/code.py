"""The code that is measured: as it is built for Lambda where that is at hand, else the source."""

import filecmp
import os
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import boto3

from local import LAYER, ROOT

BUILD = ROOT / ".aws-sam" / "build"
FUNCTIONS = ROOT / "functions"
PACKAGES = Path(boto3.__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Code:
    """What a function's process is made of; its Python sees no packages but these."""

    description: str
    task: Path
    """The folder that holds the handlers, in Lambda /var/task."""
    layers: tuple[Path, ...]

    @property
    def python(self) -> Path:
        """The interpreter that this one's environment is made from."""
        return Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with Python set to the code and to nothing else."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "PYTHONPATH": os.pathsep.join(map(str, (self.task, *self.layers)))}


def code() -> Code:
    """The build if it is one of today's source and of this Python, else the source tree."""
    source = (FUNCTIONS, LAYER, PACKAGES)
    layers = (BUILD / "DependenciesLayer" / "python", BUILD / "ParleyLayer" / "python")
    task = BUILD / "GetChat"
    why = None
    if not BUILD.is_dir():
        why = "there is no build"
    elif sys.version_info[:2] != (3, 13):
        why = "the build is for Python 3.13"
    elif _differ(FUNCTIONS, task) or _differ(LAYER, layers[1]):
        why = "the build is not of this source"
    if why:
        description = f"the source tree and the packages of .venv ({why}; `make build` makes one)"
        return Code(description, source[0], source[1:])
    return Code("the build in .aws-sam/build", task, layers)


def _differ(source: Path, built: Path) -> bool:
    kinds = (source.rglob(kind) for kind in ("*.py", "*.sh"))
    files = [path.relative_to(source) for path in chain.from_iterable(kinds)]
    return any(
        not (built / path).is_file() or not filecmp.cmp(source / path, built / path, shallow=False)
        for path in files
    )
