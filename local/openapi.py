"""Writes the OpenAPI document of every route that the template declares.

python -m local.openapi            write it
python -m local.openapi --check    change nothing; fail if it is out of step
"""

import importlib
import inspect
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from local import ROOT
from local.intrinsics import Evaluator
from local.routes import Function, routes
from local.runtime import load_module
from local.template import load
from parley.dialects.docs import DOCS
from parley.dialects.docs.document import FILE
from parley.dialects.registry import DIALECTS

DESCRIPTION = """\
Five chat APIs over the same stored conversations: what is begun in one can be read and continued in
the others.

What is under `/admin/v1` is for operators: they sign with AWS credentials, and IAM decides.

Every other route takes either credential, in either header, `Authorization: Bearer ...` or
`X-API-Key: ...`:

- an **API key**, `sk_test_...` or `sk_prod_...`, which acts for a whole tenant;
- a **token**, a JWT that `POST /api/chat/get_token` makes with an API key for one user, and that
  acts for this user alone, for an hour.

Errors have the form of the API they come from, and every reply has an `x-request-id`.
"""


def generate() -> str:
    """The document's text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    app = FastAPI(
        title="Parley",
        summary="Five chat APIs over one conversation core.",
        description=DESCRIPTION,
        version=project["version"],
        license_info={"name": project["license"], "identifier": project["license"]},
        openapi_tags=[_tag(dialect.name) for dialect in DIALECTS if dialect is not DOCS],
        generate_unique_id_function=_operation_ids(),
    )
    template = load(ROOT / "template.yaml")
    declared = routes(template, Evaluator(template))
    by_handler = {route.function.handler: route.function for route in declared}
    for function in by_handler.values():
        for router in _routers(function):
            app.include_router(router)
    document = app.openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or with `--check` compare it; returns the exit code."""
    generated = generate()
    if arguments != ["--check"]:
        FILE.write_text(generated, encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != generated:
        print("The OpenAPI document is out of step with the routes: run make openapi.")
        return 1
    return 0


def _routers(function: Function) -> Iterator[APIRouter]:
    """A route module has one `router`; the streaming application lists its `ROUTERS`."""
    module = load_module(function)
    if hasattr(module, "router"):
        yield module.router
    yield from getattr(module, "ROUTERS", ())


def _operation_ids() -> Callable[[APIRoute], str]:
    """Names operations by dialect and function, and numbers those that answer several paths."""
    given: Counter[str] = Counter()

    def name(route: APIRoute) -> str:
        plain = "_".join([*map(str, route.tags), route.name])
        given[plain] += 1
        return plain if given[plain] == 1 else f"{plain}_{given[plain]}"

    return name


def _tag(name: str) -> dict[str, Any]:
    about = inspect.getdoc(importlib.import_module(f"parley.dialects.{name}")) or ""
    return {"name": name, "description": about}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
