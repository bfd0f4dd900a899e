"""The local REST API as a client sees it, over ASGI."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from local.application import LocalApi
from local.asgi import Message
from local.gateway import MAX_EVENT_BYTES, MAX_REQUEST_BYTES
from local.template import Template
from tests.local import sample

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(template: Template) -> LocalApi:
    return LocalApi(template)


@pytest.fixture
async def client(api: LocalApi) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(api, client=("203.0.113.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        yield client


async def echo(client: httpx.AsyncClient, path: str, **request: Any) -> dict[str, Any]:
    """The event that a request became."""
    reply = await client.post(path, **request)
    event: dict[str, Any] = reply.json()["event"]
    return event


async def test_a_handler_gets_the_gateways_event(client: httpx.AsyncClient) -> None:
    event = await echo(
        client,
        "/echo/a%2Fb?x=1&x=%E1%88%B0&empty=",
        content="ሰላም",
        headers=[("X-Twice", "1"), ("X-Twice", "2"), ("User-Agent", "test")],
    )

    assert event["resource"] == "/echo/{id}"
    assert event["path"] == "/echo/a%2Fb"
    assert event["httpMethod"] == "POST"
    assert event["pathParameters"] == {"id": "a%2Fb"}
    assert event["queryStringParameters"] == {"x": "ሰ", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "ሰ"], "empty": [""]}
    assert event["multiValueHeaders"]["x-twice"] == ["1", "2"]
    assert event["headers"]["x-twice"] == "2"
    assert event["headers"]["Host"] == "localhost:8000"
    assert event["headers"]["X-Forwarded-For"] == "203.0.113.7"
    assert (event["body"], event["isBase64Encoded"]) == ("ሰላም", False)
    assert event["stageVariables"] is None
    context = event["requestContext"]
    assert (context["stage"], context["resourcePath"]) == ("dev", "/echo/{id}")
    assert context["identity"]["sourceIp"] == "203.0.113.7"
    assert context["identity"]["userAgent"] == "test"


async def test_what_a_request_does_not_have_is_null(client: httpx.AsyncClient) -> None:
    event = await echo(client, "/echo")

    for key in (
        "body",
        "pathParameters",
        "queryStringParameters",
        "multiValueQueryStringParameters",
    ):
        assert event[key] is None


async def test_a_body_of_a_binary_type_is_base64_and_any_other_becomes_text(
    client: httpx.AsyncClient,
) -> None:
    raw = b"\x89\xff"
    binary = await echo(client, "/echo", content=raw, headers={"content-type": "image/png"})
    text = await echo(client, "/echo", content=raw, headers={"content-type": "text/plain"})

    assert (binary["body"], binary["isBase64Encoded"]) == ("if8=", True)
    assert (text["body"], text["isBase64Encoded"]) == ("��", False)


async def test_a_handlers_response_reaches_the_client_whole(client: httpx.AsyncClient) -> None:
    reply = await client.post("/echo")

    assert reply.status_code == 201
    assert reply.headers["x-one"] == "1"
    assert reply.headers.get_list("set-cookie") == ["a=1", "b=2"]
    seen = reply.json()
    assert seen["function"] == "Echo"
    assert seen["request"] == seen["event"]["requestContext"]["requestId"]
    assert reply.headers["x-amzn-requestid"] == seen["request"]
    assert 0 < seen["remaining"] <= 29_000


async def test_an_undeclared_path_gets_the_gateway_response_of_the_template(
    client: httpx.AsyncClient,
) -> None:
    reply = await client.get("/no/such")

    assert reply.status_code == 404
    assert reply.json() == {
        "id": reply.headers["x-request-id"],
        "path": "/no/such",
        "none": "",
    }
    assert reply.headers["x-is"] == "fixed"


@pytest.mark.parametrize("path", ["/broken", "/malformed"])
async def test_a_broken_handler_is_a_502_that_tells_nothing(
    client: httpx.AsyncClient, path: str
) -> None:
    reply = await client.get(path)

    assert reply.status_code == 502
    assert reply.json() == {"code": "internal"}


@pytest.mark.parametrize("path", ["/echo", "/stream"])
@pytest.mark.parametrize("size", [MAX_EVENT_BYTES, MAX_REQUEST_BYTES + 1])
async def test_a_body_beyond_the_limits_is_a_413(
    client: httpx.AsyncClient, path: str, size: int
) -> None:
    reply = await client.post(path, content=b"x" * size)

    assert reply.status_code == 413
    assert reply.json() == {"message": "Request Entity Too Large"}


async def test_a_streaming_application_gets_what_the_adapter_sends(
    client: httpx.AsyncClient,
) -> None:
    reply = await client.post(
        "/stream", content="ሰላም", headers={"x-amzn-request-context": "forged"}
    )

    headers_line, body = reply.text.split("\n")
    headers = json.loads(headers_line)
    assert body == "ሰላም"
    assert json.loads(headers["x-amzn-request-context"])["resourcePath"] == "/stream"
    invocation = json.loads(headers["x-amzn-lambda-context"])
    assert invocation["env_config"]["function_name"] == "Streaming"
    assert invocation["request_id"]
    assert headers["x-forwarded-for"] == "203.0.113.7"


async def test_chunks_leave_as_they_are_made_and_a_disconnect_is_passed_on(api: LocalApi) -> None:
    sample.left.clear()
    received: asyncio.Queue[Message] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": b"hello", "more_body": False})
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body") == b"hello":
            received.put_nowait({"type": "http.disconnect"})

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/leave",
        "raw_path": b"/leave",
        "query_string": b"",
        "headers": [(b"host", b"localhost:8000")],
        "client": ("127.0.0.1", 1),
    }
    await asyncio.wait_for(api(scope, received.get, send), 5)

    assert sample.left.is_set()
    assert [message["type"] for message in sent] == [
        "http.response.start",
        *["http.response.body"] * 4,
    ]
