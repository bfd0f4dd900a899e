from typing import Any

import pytest

from local.intrinsics import Evaluator
from local.routes import Function, Route, Router, routes
from local.template import Template


def route(method: str, resource: str, *, streams: bool = False) -> Route:
    function = Function(
        name=f"{method} {resource}",
        code="functions/",
        handler="dialect.verb_noun.handler",
        timeout=29,
        memory=512,
        environment={},
    )
    return Route(resource=resource, method=method, function=function, streams=streams)


ROUTER = Router(
    [
        route("GET", "/v1/chats"),
        route("POST", "/v1/chats"),
        route("ANY", "/v1/chats"),
        route("POST", "/v1/chat/{chatId}"),
        route("POST", "/v1/chat/completions", streams=True),
        route("GET", "/v1/chat/{chatId}/history"),
        route("GET", "/v1/files/{path+}"),
        route("GET", "/v1/files/latest"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "resource", "variables"),
    [
        ("GET", "/v1/chats", "/v1/chats", {}),
        ("GET", "/v1/chats/", "/v1/chats", {}),
        ("POST", "/v1/chat/completions", "/v1/chat/completions", {}),
        ("POST", "/v1/chat/abc", "/v1/chat/{chatId}", {"chatId": "abc"}),
        ("POST", "/v1/chat/abc/", "/v1/chat/{chatId}", {"chatId": "abc"}),
        ("POST", "/v1/chat/a%2Fb%20c", "/v1/chat/{chatId}", {"chatId": "a%2Fb%20c"}),
        (
            "GET",
            "/v1/chat/completions/history",
            "/v1/chat/{chatId}/history",
            {"chatId": "completions"},
        ),
        ("GET", "/v1/files/a/b", "/v1/files/{path+}", {"path": "a/b"}),
        ("GET", "/v1/files/latest", "/v1/files/latest", {}),
    ],
)
def test_a_path_finds_its_most_specific_resource(
    method: str, path: str, resource: str, variables: dict[str, str]
) -> None:
    match = ROUTER.match(method, path)

    assert match is not None
    assert (match.route.resource, match.path_parameters) == (resource, variables)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/chats/x"),
        ("GET", "/v1/chat/completions"),  # the path decides first, and it has no GET
        ("POST", "/v1/chat/"),
        ("GET", "/v1/chat//history"),
        ("GET", "/v1/files/"),
    ],
)
def test_what_is_not_declared_has_no_route(method: str, path: str) -> None:
    assert ROUTER.match(method, path) is None


def test_any_serves_the_methods_not_declared_beside_it() -> None:
    served = {method: ROUTER.match(method, "/v1/chats") for method in ("POST", "PATCH")}

    assert {method: match and match.route.method for method, match in served.items()} == {
        "POST": "POST",
        "PATCH": "ANY",
    }


def test_routes_are_read_from_the_functions_events() -> None:
    def api(method: str, path: str, **more: Any) -> dict[str, Any]:
        return {"Type": "Api", "Properties": {"Method": method, "Path": path, **more}}

    template: Template = {
        "Globals": {
            "Function": {
                "CodeUri": "functions/",
                "Timeout": 29,
                "Environment": {"Variables": {"A": "shared", "B": "shared"}},
            }
        },
        "Resources": {
            "Stream": {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "Handler": "streaming.app.handler",
                    "Timeout": 900,
                    "Environment": {"Variables": {"B": "own"}},
                    "Events": {
                        "Post": api("post", "/v1/x", ResponseTransferMode="RESPONSE_STREAM"),
                        "Timer": {"Type": "Schedule"},
                    },
                },
            },
            "Any": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"Handler": "a.b.handler", "Events": {"Any": api("any", "/v1/x")}},
            },
        },
    }

    found = routes(template, Evaluator(template))

    assert [(each.method, each.resource, each.streams) for each in found] == [
        ("POST", "/v1/x", True),
        ("ANY", "/v1/x", False),
    ]
    stream, fallback = (each.function for each in found)
    assert (stream.module, stream.attribute) == ("functions.streaming.app", "handler")
    assert (stream.timeout, fallback.timeout) == (900, 29)
    assert stream.environment == {"A": "shared", "B": "own"}
