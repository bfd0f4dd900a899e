"""The personas API as its documentation uses it: with curl, only host and key changed.

The scripted model answers where a real one's time would only be waited for.
"""

import json
import subprocess
import time
import uuid
from typing import Any

import httpx
import jwt
import pytest

from tests.e2e.conftest import Stack
from tests.support.sse import data

HOST = "https://chat.example.com"
SCRIPTED = "sk_test_conformance"


def curl(path: str, credential: str, body: str) -> str:
    """The command to post a body; its host and its credential are yet to be filled in."""
    headers = f"-H '{credential}' -H 'Content-Type: application/json'"
    return f"curl -X POST {HOST}/api/chat/{path} {headers} -d '{body}'"


BY_KEY, BY_TOKEN = "X-API-Key: YOUR_API_KEY", "Authorization: Bearer YOUR_TOKEN"
PERSONA = '"persona": {"persona_id": 1, "version_type": "next"}'
SPOKEN = '"message": "Hello there"'

GET_TOKEN = curl("get_token", BY_KEY, f'{{"user_id": "b6016570", {PERSONA}}}')
COMPLETION_WITH_KEY = curl("completion/stream", BY_KEY, f"{{ {PERSONA}\n{SPOKEN} }}")
COMPLETION_WITH_TOKEN = curl("completion/stream", BY_TOKEN, f"{{ {SPOKEN} }}")
CONTINUATION_WITH_KEY = curl("continuation/stream", BY_KEY, f"{{ {SPOKEN} }}")

SELECTORS = [
    '{"persona": {"alias": "my-alias"}}',
    '{"persona": {"persona_id": 47, "version_type": "next"}}',
]


def run(stack: Stack, command: str, *, key: str = SCRIPTED, token: str = "") -> str:
    """What a shell prints that is given the command with another host and key."""
    command = command.replace(HOST, stack.url).replace("YOUR_TOKEN", token)
    command = command.replace("YOUR_API_KEY", key)
    ran = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=True
    )
    return ran.stdout


def events(printed: str) -> list[Any]:
    assert printed.endswith("\n\n"), printed
    return [json.loads(event) for event in data(printed)]


def a_token(stack: Stack) -> str:
    token: str = json.loads(run(stack, GET_TOKEN))["token"]
    return token


def post(stack: Stack, path: str, body: Any, key: str = SCRIPTED) -> httpx.Response:
    return httpx.post(
        f"{stack.url}/api/chat/{path}", json=body, headers={"X-API-Key": key}, timeout=60
    )


# The documentation's examples --------------------------------------------------------------------


def test_an_api_key_gets_a_token_that_ends_in_an_hour(stack: Stack) -> None:
    answer = json.loads(run(stack, GET_TOKEN))
    assert set(answer) == {"token", "expires_at"}
    assert 3500 < answer["expires_at"] - time.time() <= 3600


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_of_the_documentation_selects(stack: Stack, selector: str) -> None:
    body = {"user_id": str(uuid.uuid4()), **json.loads(selector)}
    assert post(stack, "get_token", body).status_code == 200


def test_a_session_begins_with_an_api_key_and_a_selector(stack: Stack) -> None:
    """The documentation's body lacks a comma between its members."""
    created, *tokens, done = events(run(stack, COMPLETION_WITH_KEY))
    assert created["type"] == "session_created"
    assert str(uuid.UUID(created["session_id"])) == created["session_id"]
    assert {token["type"] for token in tokens} == {"token"}
    assert (done["type"], done["finish_reason"]) == ("done", "stop")
    assert done["usage"]["total_tokens"] > 0


def test_a_session_begins_with_a_token(stack: Stack) -> None:
    created, *_, done = events(run(stack, COMPLETION_WITH_TOKEN, token=a_token(stack)))
    assert (created["type"], done["type"]) == ("session_created", "done")


@pytest.mark.parametrize("key", ["sk_test_demo", "sk_prod_demo"])
def test_a_session_begins_with_a_real_model(stack: Stack, key: str) -> None:
    command = COMPLETION_WITH_TOKEN.replace("Authorization: Bearer YOUR_TOKEN", f"X-API-Key: {key}")
    created, *tokens, done = events(run(stack, command))
    assert created["type"] == "session_created"
    assert "".join(token["content"] for token in tokens).strip()
    assert done["type"] == "done"


def test_a_continuation_without_a_session_is_told_what_it_lacks(stack: Stack) -> None:
    answer = json.loads(run(stack, CONTINUATION_WITH_KEY))
    assert answer["type"] == "error"
    assert answer["param"] == "session_id"
    assert "session_id" in answer["message"]


@pytest.mark.parametrize("where", ["body", "query"])
@pytest.mark.parametrize("credential", ["key", "token"])
def test_a_session_is_continued(stack: Stack, credential: str, where: str) -> None:
    token = a_token(stack)
    session = events(run(stack, COMPLETION_WITH_TOKEN, token=token))[0]["session_id"]
    command = CONTINUATION_WITH_KEY
    if where == "body":
        command = command.replace("'{", f'\'{{ "session_id": "{session}",')
    else:
        command = command.replace("/stream", f"/stream?session_id={session}")
    key = token if credential == "token" else SCRIPTED
    continued, *tokens, done = events(run(stack, command, key=key))
    assert (continued["type"], continued["session_id"]) == ("session_continued", session)
    assert done["type"] == "done"
    # The scripted model counts the messages it is shown: a question, its answer, and this one.
    assert "3" in "".join(token["content"] for token in tokens)


# Beyond the examples -----------------------------------------------------------------------------


def test_tokens_arrive_as_they_are_made(stack: Stack) -> None:
    script = [{"text": "ሰላም "}, {"wait": 1.0}, {"text": "👋"}]
    body = {"message": f"script:{json.dumps(script)}"}
    arrivals = {}
    with httpx.stream(
        "POST",
        f"{stack.url}/api/chat/completion/stream",
        json=body,
        headers={"X-API-Key": SCRIPTED},
        timeout=60,
    ) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                arrivals[event.get("content", event["type"])] = time.monotonic()
    assert list(arrivals) == ["session_created", "ሰላም ", "👋", "done"]
    assert arrivals["👋"] - arrivals["ሰላም "] > 0.5


def test_a_token_speaks_for_its_user_on_every_api_and_for_no_other(stack: Stack) -> None:
    users = [str(uuid.uuid4()) for _ in range(2)]
    mine, other = (
        httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        for token in (post(stack, "get_token", {"user_id": user}).json()["token"] for user in users)
    )
    with mine, other:
        made = mine.post("/v1/chats", json={"model": "any"}).json()
        assert made["user"] == users[0]
        assert mine.post("/v1/chats", json={"user": users[1]}).status_code == 403
        assert mine.get("/v1/chats", params={"user": users[1]}).status_code == 403
        assert [chat["id"] for chat in mine.get("/v1/chats").json()["data"]] == [made["id"]]
        assert other.get("/v1/chats").json()["data"] == []
        for path in (f"/v1/chats/{made['id']}", f"/api/v1/chats/{made['id']}"):
            assert mine.get(path).status_code == 200
            assert other.get(path).status_code == 404
        said = {"message": "Hello", "session_id": made["id"]}
        assert mine.post("/api/chat/continuation/stream", json=said).status_code == 200
        assert other.post("/api/chat/continuation/stream", json=said).status_code == 404
        completion = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}
        assert mine.post("/v1/chat/completions", json=completion).status_code == 200
        posing = mine.post("/v1/chat/completions", json=completion | {"user": users[1]})
        assert posing.status_code == 403


def test_a_token_of_another_secret_is_refused_as_an_unknown_key_is(stack: Stack) -> None:
    token = a_token(stack)
    payload = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode(payload, "another" * 10, "HS256", {"kid": "0"})
    unsigned = jwt.encode(payload, "", "none", {"kid": "0"})
    refusals = [
        post(stack, "completion/stream", {"message": "Hello"}, key=key)
        for key in (forged, unsigned, token[:-4], "sk_test_unknown")
    ]
    assert {refused.status_code for refused in refusals} == {401}
    assert len({refused.text for refused in refusals}) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        '{"message": ""}',
        '{"message": 7}',
        '{"message": null}',
        '{"message" "Hello"}',
        '{"message": "she said "no" to me"}',
        '{"message": "Hello", "persona": 1}',
        '{"message": "Hello", "persona": {"persona_id": 9007199254740993, "version_type": "next"}}',
        '{"message": "Hello", "persona": {"alias": "\\u0000"}}',
        '{"message": "Hello", "user_id": ""}',
        '{"message": "\\ud800"}',
        "[" * 100_000,
    ],
)
def test_a_malformed_request_is_refused_in_this_apis_own_words(stack: Stack, body: str) -> None:
    headers = {"X-API-Key": SCRIPTED, "Content-Type": "application/json"}
    url = f"{stack.url}/api/chat/completion/stream"
    refused = httpx.post(url, content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["type"] == "error"
    assert refused.json()["code"] == "invalid_request"
    assert refused.json()["message"]


def test_other_methods_are_refused(stack: Stack) -> None:
    refused = httpx.get(f"{stack.url}/api/chat/get_token", headers={"X-API-Key": SCRIPTED})
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
    assert refused.json()["type"] == "error"
