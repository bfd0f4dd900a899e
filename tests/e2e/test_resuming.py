"""Turns that outlive their connections, over real ones: heard on, heard by several, stopped."""

import json
import re
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from local import ROOT
from tests.e2e.conftest import Stack
from tests.support.signing import Operator

SCRIPTED = "sk_test_conformance"
HEADERS = {"X-API-Key": SCRIPTED}

PIECES = 40
SLOW = {"text": "ሰ👋 ", "repeat": PIECES, "wait": 0.05}
FOR_EVER = ({"text": "We have "}, {"wait": 3600})


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=HEADERS, timeout=60) as client:
        yield client


@pytest.fixture
def chat(client: httpx.Client) -> str:
    made: str = client.post("/v1/chats", json={"model": "any"}).json()["id"]
    return made


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


class Reader(threading.Thread):
    """A client that reads a stream to its end, beside the test."""

    def __init__(self, stack: Stack, method: str, path: str, **request: Any) -> None:
        super().__init__()
        self._request = (method, f"{stack.url}{path}")
        self._more = {"headers": {**HEADERS, **request.pop("headers", {})}, **request}
        self.heard = threading.Event()
        self.turn = ""
        self.text = b""
        self.start()

    def run(self) -> None:
        with httpx.stream(*self._request, timeout=60, **self._more) as reply:
            self.turn = reply.headers["x-parley-turn"]
            for chunk in reply.iter_raw():
                self.text += chunk
                self.heard.set()
        self.heard.set()

    def whole(self) -> bytes:
        self.join(60)
        return self.text.replace(b": ping\n", b"")


def say(chat: str, *steps: dict[str, Any], **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", f"/v1/chat/{chat}", {"content": script(*steps), "stream": True, **more}


def test_a_reader_whose_connection_was_cut_comes_back_while_the_turn_goes_on(
    stack: Stack, client: httpx.Client, chat: str
) -> None:
    received = b""
    method, path, body = say(chat, SLOW)
    with client.stream(method, path, json=body) as reply:
        turn = reply.headers["x-parley-turn"]
        for chunk in reply.iter_raw():
            received += chunk
            if received.count(b"\n\n") >= 5:
                break
    whole, _, _ = received.rpartition(b"\n\n")
    count = whole.count(b"\n\n") + 1
    rest = Reader(stack, "GET", f"/v1/turns/{turn}/events?starting_after={count}")
    again = Reader(stack, "GET", f"/v1/turns/{turn}/events", headers={"Last-Event-ID": "0"})
    assert whole + b"\n\n" + rest.whole() == again.whole()
    assert again.text.count("ሰ👋".encode()) == PIECES
    assert again.text.endswith(b"data: [DONE]\n\n")
    [_, stored] = client.get(f"/v1/chat/{chat}/history").json()["messages"]
    assert (stored["id"], stored["status"]) == (turn, "completed")


def test_the_same_request_meanwhile_hears_the_same_turn(
    stack: Stack, client: httpx.Client, chat: str
) -> None:
    method, path, body = say(chat, SLOW)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    readers = [Reader(stack, method, path, json=body, headers=key) for _ in range(3)]
    assert len({reader.whole() for reader in readers}) == 1
    assert len({reader.turn for reader in readers}) == 1
    history = client.get(f"/v1/chat/{chat}/history").json()
    assert history["total"] == 2
    late = client.post(path, json=body, headers=key)
    assert late.headers["idempotent-replayed"] == "true"
    assert late.content == readers[0].whole()


@pytest.mark.parametrize("path", ["/v1/turns/{turn}/stop", "/ai/v1/chat-messages/{turn}/stop"])
def test_who_listens_sees_a_stop_wherever_it_was_asked_for(
    stack: Stack, client: httpx.Client, chat: str, path: str
) -> None:
    method, say_path, body = say(chat, *FOR_EVER)
    first = Reader(stack, method, say_path, json=body)
    assert first.heard.wait(30)
    second = Reader(stack, "GET", f"/v1/turns/{first.turn}/events")
    assert second.heard.wait(30)
    user = "default"
    assert client.post(path.format(turn=first.turn), json={"user": user}).status_code == 200
    assert first.whole() == second.whole()
    assert b'"status":"stopped"' in first.text
    [_, stored] = client.get(f"/v1/chat/{chat}/history").json()["messages"]
    assert (stored["status"], stored["content"]) == ("stopped", "We have ")


def test_a_stateless_completion_is_stopped_by_its_id(stack: Stack, client: httpx.Client) -> None:
    said = [{"role": "user", "content": script(*FOR_EVER)}]
    body = {"model": "any", "messages": said, "stream": True}
    reader = Reader(stack, "POST", "/v1/chat/completions", json=body)
    assert reader.heard.wait(30)
    assert client.post(f"/v1/turns/{reader.turn}/stop").json()["id"] == reader.turn
    assert b'"status":"stopped"' in reader.whole()


def test_a_client_that_leaves_before_its_answer_cancels_a_stateless_completion(
    stack: Stack, client: httpx.Client
) -> None:
    user = f"left-{uuid.uuid4()}"
    said = [{"role": "user", "content": script(*FOR_EVER)}]
    body = {"model": "any", "messages": said, "user": user}
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=body, timeout=1)

    def used() -> list[Any]:
        report = httpx.get(
            f"{stack.url}/admin/v1/usage",
            params={"tenant": "conformance", "by": "user"},
            auth=Operator(),
        )
        return [row for row in report.json()["rows"] if row["user"] == user]

    [row] = until(used)
    assert row["turns"] == 1
    assert row["completion_tokens"] > 0


@pytest.mark.parametrize("kind", ["completion", "stored conversation"])
def test_a_client_that_leaves_before_its_answer_gets_it_later_by_its_key(
    client: httpx.Client, chat: str, kind: str
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    said = script({"text": "We have ", "repeat": 3, "wait": 0.7})
    path, body = {
        "completion": (
            "/v1/chat/completions",
            {"model": "any", "messages": [{"role": "user", "content": said}]},
        ),
        "stored conversation": (f"/v1/chat/{chat}", {"content": said}),
    }[kind]
    with pytest.raises(httpx.ReadTimeout):
        client.post(path, json=body, headers=key, timeout=1)
    again = client.post(path, json=body, headers=key).json()
    reply = again["choices"][0]["message"] if "choices" in again else again
    assert reply["content"] == "We have " * 3
    if kind == "stored conversation":
        assert again["status"] == "completed"
        assert client.get(f"/v1/chat/{chat}/history").json()["total"] == 2


def until(found: Callable[[], list[Any]]) -> list[Any]:
    """What is found, once there is some."""
    give_up = time.monotonic() + 20
    while not (what := found()):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return what


def test_openais_client_retries_with_its_key_and_is_answered_once(stack: Stack) -> None:
    said: Any = [{"role": "user", "content": script({"text": "a"}, {"fail": "error"})}]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    tries: list[str] = []

    def note(request: Any) -> None:
        tries.append(request.headers["x-stainless-retry-count"])

    http = openai.DefaultHttpxClient(event_hooks={"request": [note]})
    with (
        openai.OpenAI(
            base_url=f"{stack.url}/v1", api_key=SCRIPTED, http_client=http, max_retries=3
        ) as client,
        pytest.raises(openai.InternalServerError) as failed,
    ):
        client.chat.completions.create(model="any", messages=said, extra_headers=key)
    assert failed.value.response.headers["x-should-retry"] == "false"
    assert tries == ["0", "1"]  # the second time it was told that there is no use


BASH = "/bin/bash"
EXAMPLE = re.compile(r"```bash\n(# A stream that is lost.*?)```", re.DOTALL)


def test_the_documents_example_of_a_lost_stream_runs(stack: Stack) -> None:
    [example] = EXAMPLE.findall((ROOT / "docs" / "dialects.md").read_text(encoding="utf-8"))
    command = example.replace("127.0.0.1:8000", stack.url.removeprefix("http://"))
    ran = subprocess.run(
        [BASH, "-e", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert ran.stdout.endswith("data: [DONE]\n\n")
    assert 2 <= ran.stdout.count("data: ") <= 16
    assert '"role"' not in ran.stdout


def test_a_browser_that_comes_back_by_itself_goes_on_where_it_was(
    stack: Stack, client: httpx.Client, chat: str
) -> None:
    """As an EventSource does: with the id of the last event it read, and no other memory."""
    method, path, body = say(chat, SLOW)
    told = Reader(stack, method, path, json=body)
    assert told.heard.wait(30)
    events, last = b"", "0"
    began = time.monotonic()
    while not events.endswith(b"data: [DONE]\n\n"):
        assert time.monotonic() - began < 30
        with client.stream(
            "GET", f"/v1/turns/{told.turn}/events", headers={"Last-Event-ID": last}
        ) as reply:
            for chunk in reply.iter_raw():
                events += chunk
                if b"\n\n" in chunk:
                    break
        events = events[: events.rfind(b"\n\n") + 2]
        last = re.findall(rb"id: (\d+)\n\n", events)[-1].decode()
    assert events.replace(b": ping\n", b"") == told.whole()
