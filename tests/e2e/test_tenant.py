"""The tenant API as its clients use it, with `curl` and `requests`."""

import json
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests

from tests.e2e.conftest import Stack, running

SCRIPTED = "sk_test_conformance"


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": SCRIPTED}
    with httpx.Client(base_url=f"{stack.url}/api/v1", headers=headers, timeout=60) as client:
        yield client


def user() -> str:
    """A user nobody else is."""
    return f"user-{uuid.uuid4().hex}"


def create(http: httpx.Client, **fields: Any) -> str:
    reply = http.post("/chats/", json={"user_id": user(), **fields})
    assert reply.status_code == 201, reply.text
    chat_id: str = reply.json()["chat_id"]
    return chat_id


def refused(reply: httpx.Response, status: int, code: str) -> Any:
    """The details of an error, whose envelope is checked."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"]
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"]
    return error["details"]


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_chat_is_created_by_curl(stack: Stack, slash: str) -> None:
    printed = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail", "--max-time", "30"),
            *("-X", "POST", f"{stack.url}/api/v1/chats{slash}"),
            *("-H", "X-API-Key: sk_test_demo"),
            *("-H", "Content-Type: application/json"),
            *("-d", '{"user_id": "user123"}'),
        ],
        check=True,
        capture_output=True,
    )
    chat = json.loads(printed.stdout)
    assert chat["user_id"] == "user123"
    assert uuid.UUID(chat["chat_id"])


def test_a_chats_whole_life_with_requests(stack: Stack) -> None:
    url, someone = f"{stack.url}/api/v1", user()
    with requests.Session() as session:
        session.headers["X-API-Key"] = SCRIPTED
        created = session.post(
            f"{url}/chats/",
            json={"user_id": someone, "title": "Refund", "metadata": {"order": {"number": 81}}},
        )
        assert created.status_code == 201
        chat = created.json()
        assert session.get(f"{url}/chats/{chat['chat_id']}").json() == chat
        listed = session.get(f"{url}/chats/user/{someone}").json()
        assert listed == {
            "chats": [chat],
            "total": 1,
            "offset": 0,
            "limit": 50,
            "has_more": False,
        }
        empty = session.get(f"{url}/chats/{chat['chat_id']}/messages").json()
        assert empty == {
            "messages": [],
            "total": 0,
            "offset": 0,
            "limit": 50,
            "has_more": False,
        }
        deleted = session.delete(f"{url}/chats/{chat['chat_id']}/")
        assert deleted.status_code == 200
        assert deleted.json()["success"] is True
        gone = session.get(f"{url}/chats/{chat['chat_id']}")
        assert gone.status_code == 404
        assert gone.json()["error"]["code"] == "chat_not_found"
        assert session.get(f"{url}/chats/user/{someone}").json()["total"] == 0


def test_walking_the_pages_meets_every_message_once(stack: Stack, http: httpx.Client) -> None:
    chat_id = create(http, model="any")
    turns = 4
    for number in range(turns):
        text = "script:" + json.dumps([{"text": f"answer {number}"}])
        said = http.post(f"{stack.url}/v1/chat/{chat_id}", json={"content": text})
        assert said.status_code == 201
    for order in ("asc", "desc"):
        met: list[str] = []
        has_more = True
        while has_more:
            query = {"offset": len(met), "limit": 3, "order": order}
            page = http.get(f"/chats/{chat_id}/messages", params=query).json()
            assert page["total"] == 2 * turns
            assert (page["offset"], page["limit"]) == (len(met), 3)
            met += [message["content"] for message in page["messages"]]
            has_more = page["has_more"]
        answers = [text for text in met if text.startswith("answer")]
        assert len(met) == 2 * turns
        expected = [f"answer {number}" for number in range(turns)]
        assert answers == (expected if order == "asc" else expected[::-1])


def test_ids_of_users_are_taken_as_they_are(http: httpx.Client) -> None:
    for odd in ("anna@example.com", "a b", "ሰላም", "50%", "%2e", "a+b", "..", "x#y?z", "user"):
        mine = f"{uuid.uuid4().hex} {odd}"
        chat_id = create(http, user_id=mine)
        listed = http.get(f"/chats/user/{quote(mine, safe='')}")
        assert [chat["chat_id"] for chat in listed.json()["chats"]] == [chat_id], odd


def test_a_missing_parameter_is_named(http: httpx.Client) -> None:
    details = refused(http.post("/chats", json={"title": "No user"}), 400, "missing_parameter")
    assert details["field"] == "user_id"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused(http: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    refused(http.post("/chats", content=body, headers=headers), 400, "invalid_request")


def test_metadata_nested_without_end_is_refused(http: httpx.Client) -> None:
    body = b'{"user_id": "u", "metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001
    reply = http.post("/chats", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"code", "message", "details"}


@pytest.mark.parametrize("key", [None, "", "sk_test_wrong"])
def test_whoever_has_no_valid_key_gets_nothing(stack: Stack, key: str | None) -> None:
    headers = {} if key is None else {"X-API-Key": key}
    for path in ("/chats/user/user123", f"/chats/{uuid.uuid4()}"):
        reply = httpx.get(f"{stack.url}/api/v1{path}", headers=headers)
        refused(reply, 401, "invalid_api_key")


def test_a_wrong_method_is_refused_in_the_dialects_words(http: httpx.Client) -> None:
    reply = http.put("/chats/x/messages")
    assert reply.headers["allow"] == "GET"
    refused(reply, 405, "method_not_allowed")


def test_the_limit_is_exact_under_64_threads(tmp_path: Path) -> None:
    """Every thread asks until it is refused; by the replies' own headers, 100 a minute are not.

    The stack is the test's own, for the tenant is out of requests afterwards.
    """
    with running(tmp_path) as stack:
        url = f"{stack.url}/api/v1/chats/user/user123"

        def ask_until_refused(_: int) -> list[httpx.Response]:
            replies: list[httpx.Response] = []
            with httpx.Client(headers={"X-API-Key": "sk_test_limited"}, timeout=60) as client:
                while not replies or replies[-1].status_code != 429:
                    replies.append(client.get(url))
            return replies

        with ThreadPoolExecutor(64) as pool:
            answered = [reply for some in pool.map(ask_until_refused, range(64)) for reply in some]

    minutes: dict[str, list[httpx.Response]] = defaultdict(list)
    for reply in answered:
        assert reply.headers["x-ratelimit-limit"] == "100"
        minutes[reply.headers["x-ratelimit-reset"]].append(reply)
    for end, replies in minutes.items():
        admitted = [reply for reply in replies if reply.status_code == 200]
        refusals = [reply for reply in replies if reply.status_code == 429]
        assert len(admitted) + len(refusals) == len(replies)
        left = sorted(int(reply.headers["x-ratelimit-remaining"]) for reply in admitted)
        assert left == list(range(100 - len(admitted), 100))
        assert int(end) % 60 == 0
        for reply in refusals:
            assert len(admitted) == 100
            assert reply.headers["x-ratelimit-remaining"] == "0"
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            refused(reply, 429, "rate_limit_exceeded")
