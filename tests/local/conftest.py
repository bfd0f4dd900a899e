"""A template that is small enough to see at a glance, over the functions in sample.py."""

from typing import Any

import pytest

from local.template import Template


def function(handler: str, *events: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "CodeUri": "tests/local/",
            "Handler": f"sample.{handler}",
            "Events": {str(number): event for number, event in enumerate(events)},
        },
    }


def api(method: str, path: str, **more: str) -> dict[str, Any]:
    return {"Type": "Api", "Properties": {"Method": method, "Path": path, **more}}


@pytest.fixture
def template() -> Template:
    stream = {"ResponseTransferMode": "RESPONSE_STREAM"}
    return {
        "Globals": {"Function": {"Timeout": 29, "MemorySize": 512}},
        "Resources": {
            "Api": {
                "Type": "AWS::Serverless::Api",
                "Properties": {
                    "StageName": "dev",
                    "BinaryMediaTypes": ["image~1png"],
                    "GatewayResponses": {
                        "MISSING_AUTHENTICATION_TOKEN": {
                            "StatusCode": 404,
                            "ResponseParameters": {
                                "Headers": {"x-request-id": "context.requestId", "x-is": "'fixed'"}
                            },
                            "ResponseTemplates": {
                                "application/json": '{"id": "$context.requestId", '
                                '"path": "$context.path", "none": "$context.no.such"}'
                            },
                        },
                        "DEFAULT_5XX": {
                            "ResponseTemplates": {"application/json": '{"code": "internal"}'}
                        },
                    },
                },
            },
            "Echo": function("echo", api("post", "/echo/{id}"), api("any", "/echo")),
            "Broken": function("broken", api("get", "/broken")),
            "Malformed": function("malformed", api("get", "/malformed")),
            "Streaming": function(
                "handler",
                api("post", "/stream", **stream),
                api("post", "/leave", **stream),
            ),
        },
    }
