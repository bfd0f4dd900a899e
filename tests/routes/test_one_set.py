"""Routes in the template, handler modules, event files, dialects and route tests are one set."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

from fastapi import APIRouter
from fastapi.routing import APIRoute

from local.intrinsics import Evaluator
from local.routes import ANY, functions, routes
from local.template import load, resources
from parley.dialects.registry import DIALECTS

ROOT = Path(__file__).parents[2]
TEMPLATE = load(ROOT / "template.yaml")
DECLARED = routes(TEMPLATE, Evaluator(TEMPLATE))

STREAMING = {"functions.streaming.app", "functions.streaming.consultant_app"}
"""The applications behind streaming routes."""

OPERATORS = "functions.admin.app"
"""The application behind whatever lies below a path, whose modules alone name its routes."""

APPLICATIONS = {*STREAMING, OPERATORS}

Route = tuple[str, str]
"""A method and a path."""


def modules() -> dict[str, APIRouter | None]:
    """Every route module by `<dialect>/<verb_noun>`, with its router."""
    found = {}
    for file in sorted((ROOT / "functions").rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__" or ".".join(parts) in APPLICATIONS:
            continue
        module = importlib.import_module(".".join(parts))
        found["/".join(parts[-2:])] = getattr(module, "router", None)
    return found


def routes_of(router: APIRouter) -> list[Route]:
    return [
        (method, route.path.replace(":path}", "+}"))  # API Gateway's notation
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]


def declared() -> dict[Route, str]:
    """The function's module by route, without the methods that are refused."""
    named = {
        (route.method, route.resource): route.function.module
        for route in DECLARED
        if route.method != ANY
    }
    below = {
        route: OPERATORS
        for router in importlib.import_module(OPERATORS).ROUTERS
        for route in routes_of(router)
    }
    return named | below


def test_a_route_module_serves_one_operation_and_the_template_declares_it() -> None:
    """At one path, or at several that begin differently."""
    served = {name: routes_of(router) for name, router in modules().items() if router}
    for found in served.values():
        methods, paths = zip(*found, strict=True)
        assert len(set(methods)) == 1, found
        shortest = min(paths, key=len)
        assert all(path.endswith(shortest) for path in paths), found
    assert sorted(route for found in served.values() for route in found) == sorted(declared())


def test_the_template_names_the_module_that_serves_the_route() -> None:
    for name, router in modules().items():
        if router is None:
            continue
        for route in routes_of(router):
            assert declared()[route] in {f"functions.{name.replace('/', '.')}", *APPLICATIONS}


def test_the_operators_application_has_all_that_lies_below_its_path_and_only_for_signers() -> None:
    [below] = [route for route in DECLARED if route.function.module == OPERATORS]
    assert (below.method, below.resource, below.is_signed) == (ANY, "/admin/v1/{proxy+}", True)
    operators = {path for (_, path), module in declared().items() if module == OPERATORS}
    assert operators
    for _, path in declared():
        assert path.startswith("/admin/v1/") == (path in operators)
    assert [route for route in DECLARED if route.is_signed] == [below]


def test_a_streaming_route_is_declared_as_one_and_no_other_is() -> None:
    for route in DECLARED:
        assert route.streams == (route.function.module in STREAMING), route


def test_every_module_has_an_event_file_for_its_route_and_there_are_no_others() -> None:
    files = {
        "/".join(file.with_suffix("").parts[-2:]): json.loads(file.read_text())
        for file in (ROOT / "events").rglob("*.json")
    }
    known = modules()
    assert sorted(files) == sorted(known)
    for name, event in files.items():
        router = known[name]
        if router is None:
            continue
        if not name.startswith("admin/"):
            assert (event["httpMethod"], event["resource"]) in routes_of(router)
            continue
        [(method, path)] = routes_of(router)
        assert event["httpMethod"] == method
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), event["path"])


def test_every_module_has_a_route_test() -> None:
    for name in modules():
        dialect, verb = name.split("/")
        tree = ast.parse((ROOT / "tests" / "routes" / f"test_{dialect}.py").read_text())
        tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert any(test.startswith(f"test_{verb}_") for test in tests), name


def test_every_path_refuses_the_methods_it_does_not_have() -> None:
    refusing = {
        route.resource
        for route in DECLARED
        if route.method == ANY and route.function.module != OPERATORS
    }
    assert refusing == {path for (_, path), module in declared().items() if module != OPERATORS}


def test_the_dialects_know_their_routes() -> None:
    known = {
        (method, path)
        for dialect in DIALECTS
        for path, methods in dialect.routes.items()
        for method in methods.split(", ")
    }
    assert known == set(declared())


def test_each_route_of_the_socket_api_leads_to_its_module_and_has_its_event() -> None:
    names = {
        function.name: function.module for function, _ in functions(TEMPLATE, Evaluator(TEMPLATE))
    }
    [(_, api)] = resources(TEMPLATE, "AWS::Serverless::WebSocketApi")
    led = {
        route: names[leads["FunctionArn"]["Fn::GetAtt"][0]]
        for route, leads in api["Routes"].items()
    }
    known = {}
    for name in modules():
        if not name.startswith("sockets/"):
            continue
        module = importlib.import_module(f"functions.{name.replace('/', '.')}")
        if route := getattr(module, "ROUTE", None):
            event = json.loads((ROOT / "events" / f"{name}.json").read_text())
            assert event["requestContext"]["routeKey"] == route
            known[route] = module.__name__
    assert led == known


def test_what_starts_the_worker_starts_the_function_of_its_module() -> None:
    declared = list(resources(TEMPLATE, "AWS::Serverless::Function"))
    [worker] = {
        started["Ref"]
        for _, properties in declared
        for started in [
            properties.get("Environment", {}).get("Variables", {}).get("PARLEY_REPLY_FUNCTION")
        ]
        if started
    }
    assert dict(declared)[worker]["Handler"] == "sockets.reply.handler"
    assert "Events" not in dict(declared)[worker]


def test_no_handler_is_hidden_by_a_module_of_the_same_name() -> None:
    """Lambda finds no `socket.connect`, as the standard library has a `socket` of its own."""
    folders = {
        function.handler.replace("/", ".").partition(".")[0]
        for function, _ in functions(TEMPLATE, Evaluator(TEMPLATE))
    }
    assert {"openai", "sockets"} <= folders
    assert not folders & sys.stdlib_module_names
    carried = {
        requirement.partition("==")[0].replace("-", "_")
        for requirement in (ROOT / "requirements/lambda.txt").read_text().splitlines()
        if "==" in requirement
    }
    assert not folders & carried
