"""Nonsense of every kind: a clear refusal in the dialect's envelope, and nothing stored."""

import json
import math
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack

COMPLETIONS = "/v1/chat/completions"
USER = {"role": "user", "content": "Hello"}


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer sk_test_conformance"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def chat(http: httpx.Client) -> str:
    chat_id: str = http.post("/v1/chats", json={"model": "any"}).json()["id"]
    return chat_id


def refused(reply: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a refusal in OpenAI's envelope."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"]
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert "Traceback" not in reply.text
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b'{"model": "any", "messages": [{"role": "user", "content": "\xc3\x28"}]}',
        b'{"model": "any", "messages": [{"role": "user", "content": "a\x00b"}]}',
        b"[" * 100_000,
        b'{"metadata":' * 50_000 + b"1" + b"}" * 50_000,
    ],
    ids=[
        "empty",
        "cut",
        "list",
        "string",
        "null",
        "not UTF-8",
        "broken UTF-8",
        "raw control character",
        "deep list",
        "deep object",
    ],
)
@pytest.mark.parametrize("path", [COMPLETIONS, "/v1/chats", "/v1/chat/{chat}"])
def test_what_is_no_request_is_refused(
    http: httpx.Client, chat: str, path: str, body: bytes
) -> None:
    reply = http.post(
        path.format(chat=chat), content=body, headers={"content-type": "application/json"}
    )
    refused(reply, 400)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "Hello"}]}, "messages.0"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "a\u0007b"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": math.nan}]}, "messages.0.content"),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 2**60}, "max_completion_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"n": 1000}, "n"),
        ({"stream": "perhaps"}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"response_format": {"type": "xml"}}, "response_format"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "any", "messages": [USER]} | change)
    headers = {"content-type": "application/json"}
    error = refused(http.post(COMPLETIONS, content=body, headers=headers), 400)
    assert error["param"] == param


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_name(
    stack: Stack, change: dict[str, Any], param: str
) -> None:
    body = {"model": "wesen-chat-v1", "messages": [USER]} | change
    headers = {"Authorization": "Bearer sk_test_demo"}
    error = refused(httpx.post(stack.url + COMPLETIONS, json=body, headers=headers), 400)
    assert error["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        {"role": "user", "content": ""},
        {"role": "user"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": None},
        {"role": "user", "content": "a\u0000b"},
        {"role": "user", "content": "Hello", "temperature": -1},
    ],
)
def test_a_refused_message_leaves_no_trace_in_the_chat(
    http: httpx.Client, chat: str, body: dict[str, Any]
) -> None:
    refused(http.post(f"/v1/chat/{chat}", json=body), 400)
    assert http.get(f"/v1/chat/{chat}/history").json()["messages"] == []


def test_a_message_that_fits_no_window_leaves_no_trace_either(
    http: httpx.Client, chat: str
) -> None:
    error = refused(http.post(f"/v1/chat/{chat}", json={"content": "word " * 100_000}), 400)
    assert error["code"] == "context_length_exceeded"
    error = refused(http.post(f"/v1/chat/{chat}", json={"content": "a" * 1_000_001}), 400)
    assert error["code"] == "message_too_long"
    assert http.get(f"/v1/chats/{chat}").json()["messageCount"] == 0


def test_a_model_nobody_has_is_refused_before_anything_is_stored(stack: Stack) -> None:
    headers = {"Authorization": "Bearer sk_test_demo"}
    with httpx.Client(base_url=stack.url, headers=headers) as http:
        user = uuid.uuid4().hex
        refused(http.post("/v1/chats", json={"model": "gpt-none", "user": user}), 404)
        assert http.get("/v1/chats", params={"user": user}).json()["data"] == []


@pytest.mark.parametrize("size", [7_000_000, 10_500_000])
def test_a_body_too_large_is_refused_by_size(http: httpx.Client, size: int) -> None:
    body = json.dumps({"model": "any", "messages": [USER], "metadata": {"a": "x" * size}})
    reply = http.post(COMPLETIONS, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    "key",
    [None, "", "sk_test_wrong", "Bearer", "x" * 5000, "\u00e9".encode().decode("latin-1")],
)
def test_whoever_has_no_valid_key_gets_nothing(stack: Stack, key: str | None) -> None:
    headers = {} if key is None else {b"X-API-Key": key.encode("latin-1")}
    for method, path in [("GET", "/v1/models"), ("POST", COMPLETIONS), ("GET", "/v1/chats")]:
        reply = httpx.request(method, stack.url + path, headers=headers)
        error = refused(reply, 401)
        assert error["code"] == "invalid_api_key"
        assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers", [{"Authorization": "bearer sk_test_demo"}, {"x-api-key": "sk_test_demo"}]
)
def test_a_key_is_taken_from_either_header(stack: Stack, headers: dict[str, str]) -> None:
    assert httpx.get(f"{stack.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/models", "GET"),
        ("DELETE", COMPLETIONS, "GET, POST"),
        ("PUT", "/v1/chats", "GET, POST"),
        ("PATCH", "/v1/chats/x", "DELETE, GET"),
        ("GET", "/v1/chat/x", "POST"),
        ("POST", "/v1/chat/x/history", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    reply = http.request(method, path)
    assert refused(reply, 405)["code"] == "method_not_allowed"
    assert reply.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/nothing", "/v1/chats/a/b", "/v2/models", "/%00", "/v1/models/a%0D%0Ab"],
)
def test_an_unknown_path_is_a_404_in_json(http: httpx.Client, path: str) -> None:
    assert refused(http.get(path), 404)["code"] == "not_found"


def test_another_tenants_chat_reads_like_one_that_never_was(stack: Stack, chat: str) -> None:
    """Same status, same words, same time: medians of requests made in turn hardly differ."""
    others = chat
    nobodys = str(uuid.uuid4())
    headers = {"Authorization": "Bearer sk_test_demo"}
    times: dict[str, list[float]] = {others: [], nobodys: []}
    with httpx.Client(base_url=stack.url, headers=headers) as http:
        for path in ("/v1/chats/{}", "/v1/chat/{}/history"):
            errors = [refused(http.get(path.format(id_)), 404) for id_ in (others, nobodys)]
            assert errors[0] == errors[1]
        for id_ in (others, nobodys):
            refused(http.post(f"/v1/chat/{id_}", json={"content": "Hello"}), 404)
            refused(http.delete(f"/v1/chats/{id_}"), 404)
        for _ in range(60):
            for id_, measured in times.items():
                began = time.perf_counter()
                http.get(f"/v1/chats/{id_}")
                measured.append(time.perf_counter() - began)
    theirs, never = (statistics.median(measured) for measured in times.values())
    assert 2 / 3 < theirs / never < 3 / 2
