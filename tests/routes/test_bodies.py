"""Bodies that are made to do harm, on every route that takes one."""

import importlib
import json
from typing import Any

import pytest

from local.intrinsics import Evaluator
from local.routes import ANY, routes
from parley import bootstrap
from parley.dialects import registry
from parley.edge.body import MOST_LEVELS, MOST_VALUES
from tests.routes.conftest import ROOT, TEMPLATE, Context

EVENTS = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "events").glob("*/*.json"))
}
POSTED = [
    name
    for name, event in EVENTS.items()
    if event.get("httpMethod") == "POST" and not name.startswith("fallback/")
]

DEEP = MOST_LEVELS + 1
BOMBS = {
    "a little too deep": f'{{"metadata": {"[" * DEEP}{"]" * DEEP}}}',
    "deep objects": '{"message":' * 30_000 + "1" + "}" * 30_000,
    "deep lists": "[" * 90_000,
    "deep beyond any stack": "[" * 1_000_000,
    "a list of mistakes": json.dumps({"messages": [1] * MOST_VALUES}),
    "many names": json.dumps(dict.fromkeys(map(str, range(MOST_VALUES)), 1)),
    "a number of 5000 digits": f'{{"persona": {"9" * 5000}, "chat_id": {"9" * 5000}}}',
    "a number beyond any": '{"message": 1e999, "content": 1e999, "user_id": 1e999, "user": 1e999}',
    "a name twice, the last one wrong": '{"user": "anna", "user": 1, "user_id": "a", "user_id": 1}',
    "half of a pair": r'{"user": "\ud800", "user_id": "\ud800", "model": "\ud800"}',
}


DECLARED = routes(TEMPLATE, Evaluator(TEMPLATE))
HANDLERS = {(route.method, route.resource): route.function for route in DECLARED}


def post(name: str, body: str) -> tuple[int, Any]:
    """What the function of this event file answers to this body instead of the file's."""
    resource = EVENTS[name]["resource"]
    declared = HANDLERS.get(("POST", resource)) or HANDLERS[ANY, resource]
    handler = getattr(importlib.import_module(declared.module), declared.attribute)
    headers = {"Content-Type": "application/json"}
    event = EVENTS[name] | {"body": body, "isBase64Encoded": False}
    event["headers"] = event["headers"] | headers
    event["multiValueHeaders"] = event["multiValueHeaders"] | {"Content-Type": [*headers.values()]}
    answer = handler(event, Context())
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("name", POSTED)
def test_no_body_breaks_a_route(services: bootstrap.Services, name: str) -> None:
    """A refusal in the dialect's own envelope, never a 500 that would mean somebody stumbled."""
    dialect, _ = registry.find(EVENTS[name]["path"])
    for bomb, body in BOMBS.items():
        status, shown = post(name, body)
        assert status < 500, (bomb, shown)
        if status >= 400:
            assert set(shown) <= set(dialect.error_schema["properties"]), (bomb, shown)
        if bomb.startswith(("deep", "a little")):
            assert status == 400, (bomb, shown)
