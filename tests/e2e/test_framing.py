"""What a model says can't break out of the frames it is told in, whatever it says."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import Stack

KEY = "sk_test_conformance"
NASTY = (
    'a\n\ndata: {"forged": 1}\n\nevent: end\nid: 9\n\r\ndata: [DONE]\r\n\r\rretry: 0\r: ping'
    '\u2028data: x\u2029\u0085\u000b\u000c\u0000\u001b[2J\ufeff\u202e"}\\\n</script>ሰላም'
)
SCRIPT = "script:" + json.dumps(
    [{"text": NASTY}, {"text": "\n\n"}, {"text": "\r"}, {"text": "end"}]
)
SAID = f"{NASTY}\n\n\rend"

Pieces = Callable[[Any], str]


def of_openai(data: Any) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in data["choices"])


def of_apps(data: Any) -> str:
    return str(data["answer"]) if data["event"] == "message" else ""


def of_personas(data: Any) -> str:
    return str(data["content"]) if data["type"] == "token" else ""


def of_consultant(data: Any) -> str:
    return str(data["data"]["content"]) if data["type"] == "text" else ""


STREAMS: Mapping[str, tuple[str, Mapping[str, Any], Pieces]] = {
    "openai": (
        "/v1/chat/completions",
        {"model": "any", "stream": True, "messages": [{"role": "user", "content": SCRIPT}]},
        of_openai,
    ),
    "sessions": ("/v1/chat/{chat}", {"content": SCRIPT, "stream": True}, of_openai),
    "apps": (
        "/ai/v1/chat-messages",
        {"query": SCRIPT, "user": "u", "inputs": {}, "response_mode": "streaming"},
        of_apps,
    ),
    "personas": (
        "/api/chat/completion/stream",
        {"user_id": "u", "message": SCRIPT, "persona": {"persona_id": 1, "version_type": "next"}},
        of_personas,
    ),
    "consultant": ("/api/v1/chat/stream", {"message": SCRIPT}, of_consultant),
}


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        yield client


def events(stream: bytes) -> Iterator[Any]:
    """What the events say of a stream that keeps to the letter of what every reader understands."""
    assert not set(b"\r\x00\x0b\x0c\x1b") & set(stream)
    for separator in ("\u2028", "\u2029", "\u0085"):  # which some readers take for line ends
        assert separator.encode() not in stream
    assert stream.endswith(b"\n\n")
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        told = None
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            match field:
                case "data":
                    assert told is None
                    told = value
                case "event":
                    assert value.isalpha()
                case "id":
                    assert value.isdigit()
                case _:
                    assert line == ": ping"
        if told is not None and told != "[DONE]":
            yield json.loads(told)


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_has_no_events_but_its_own(http: httpx.Client, dialect: str) -> None:
    path, body, piece = STREAMS[dialect]
    chat = http.post("/v1/chats", json={"model": "any"}).json()["id"]
    reply = http.post(path.format(chat=chat), json=body)
    assert reply.status_code == 200, reply.text
    found = list(events(reply.content))
    assert "".join(piece(data) for data in found) == SAID, found


def test_a_live_chat_has_no_frames_but_its_own(stack: Stack, http: httpx.Client) -> None:
    user = f"user-{secrets.token_hex(8)}"
    chat = http.post("/api/v1/chats/", json={"user_id": user}).json()["chat_id"]
    url = (
        f"{stack.url.replace('http', 'ws', 1)}/ws/chat?api_key={KEY}&user_id={user}&chat_id={chat}"
    )
    told = ""
    with connect(url, max_size=None) as socket:
        socket.send(json.dumps({"content": SCRIPT}))
        while True:
            frame = json.loads(socket.recv(timeout=60))
            if frame["type"] == "message_stream_token":
                told += frame["content"]
            assert frame["type"] != "error", frame
            if frame["type"] == "message_stream_ended":
                break
    assert told == SAID


def test_a_model_that_a_caller_names_adds_no_header(http: httpx.Client) -> None:
    for name in ("a\r\nX-Forged: 1", "a\nSet-Cookie: a=1", "a\u2028b", "é, b"):
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
        reply = http.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200
        assert reply.headers["x-parley-route"].isascii()
        assert not {"x-forged", "set-cookie"} & set(reply.headers)
