"""Dify's chat API as its document's examples and its clients for Python and Node use it."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from dify_client import ChatClient  # type: ignore[import-untyped]  # it has no types

from tests.e2e.conftest import Stack

DEMO = "sk_test_demo"
SCRIPTED = "sk_test_conformance"
EXAMPLE = "1c7e55fb-1ba2-4e10-81b5-30addcea2276"
"""The conversation that the document's examples continue."""

NODE = shutil.which("node")
NODE_CLIENT = "dify-client@2.3.2"


@pytest.fixture
def base_url(stack: Stack) -> str:
    return f"{stack.url}/ai/v1"


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def client(base_url: str) -> ChatClient:
    """Dify's client for Python, told but a base URL and a key."""
    client = ChatClient(SCRIPTED)
    client.base_url = base_url
    return client


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


def lines(text: str) -> list[dict[str, Any]]:
    """What a reader of `data: {…}` lines makes of a stream."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


# The document's examples, as curl sends them ------------------------------------------------------


def curl(base_url: str, method: str, path: str, data_raw: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {DEMO}"}
    if data_raw is not None:
        headers["Content-Type"] = "application/json"
    reply = requests.request(
        method, f"{base_url}{path}", headers=headers, data=data_raw, timeout=120
    )
    assert reply.status_code == 200, reply.text
    return reply


def test_the_documents_examples_work_as_they_stand(base_url: str) -> None:
    streamed = curl(
        base_url,
        "POST",
        "/chat-messages",
        """{
    "inputs": {},
    "query": "eh",
    "response_mode": "streaming",
    "conversation_id": "1c7e55fb-1ba2-4e10-81b5-30addcea2276",
    "user": "abc-123"
}""",
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    said = lines(streamed.content.decode())
    message_id = said[0]["id"]
    for event in said:
        assert event["id"] == message_id
        assert isinstance(event["answer"], str)
        assert isinstance(event["created_at"], int)

    blocking = curl(
        base_url,
        "POST",
        "/chat-messages",
        json.dumps({"inputs": {}, "query": "eh", "response_mode": "blocking", "user": "abc-123"}),
    ).json()
    assert blocking.keys() >= {"answer", "conversation_id", "created_at", "id"}

    rated = curl(
        base_url,
        "POST",
        f"/messages/{message_id}/feedbacks",
        """{
    "rating": "like",
    "user": "abc-123"
}""",
    ).json()
    assert rated["has_more"] is False
    assert rated["data"][0]["id"] == message_id
    assert rated["data"][0]["feedback"] == "like"
    assert rated["data"][0].keys() >= {"conversation_id", "inputs", "query", "answer"}

    history = curl(base_url, "GET", "/messages?user=abc-123&conversation_id=").json()
    assert history["has_more"] is False
    assert history["data"][0]["id"] == blocking["id"]
    assert history["data"][0].keys() >= {
        "username", "phone_number", "avatar_url", "display_name", "conversation_id", "created_at",
    }  # fmt: skip

    listed = curl(base_url, "GET", "/conversations?user=abc-123&last_id=&limit=20").json()
    assert (listed["limit"], listed["has_more"]) == (20, False)
    assert [each["id"] for each in listed["data"]] == [blocking["conversation_id"], EXAMPLE]
    example = listed["data"][1]
    assert (example["name"], example["status"]) == ("New chat", "normal")
    assert example["inputs"].items() >= {"book": "book", "myName": "Lucy"}.items()

    renamed = curl(
        base_url,
        "POST",
        "/conversations/name",
        """{
 "name": "",
 "user": "abc-123"
}""",
    ).json()
    assert renamed["result"] == "success"

    deleted = curl(
        base_url,
        "DELETE",
        f"/conversations/{blocking['conversation_id']}",
        """{
 "user": "abc-123"
}""",
    ).json()
    assert deleted == {"result": "success"}
    listed = curl(base_url, "GET", "/conversations?user=abc-123").json()
    assert [each["id"] for each in listed["data"]] == [EXAMPLE]


# Dify's client for Python -------------------------------------------------------------------------


def test_the_python_client_holds_a_conversation(client: ChatClient, user: str) -> None:
    first = client.create_chat_message({}, script({"text": "Hello"}), user).json()
    assert (first["event"], first["answer"], first["mode"]) == ("message", "Hello", "chat")
    conversation = first["conversation_id"]
    streamed = client.create_chat_message(
        {}, script({"text": "ሰላም "}, {"text": "👋"}), user, "streaming", conversation
    )
    streamed.raise_for_status()
    *deltas, end = lines(streamed.content.decode())
    assert "".join(event["answer"] for event in deltas) == "ሰላም 👋"
    assert {event["event"] for event in deltas} == {"message"}
    assert end["event"] == "message_end"
    assert end["metadata"]["usage"]["completion_tokens"] == 2
    assert {event["conversation_id"] for event in (*deltas, end)} == {conversation}

    history = client.get_conversation_messages(user, conversation).json()
    assert [each["answer"] for each in history["data"]] == ["Hello", "ሰላም 👋"]
    newest = client.get_conversation_messages(user, conversation, limit=1).json()
    assert (newest["data"], newest["has_more"]) == (history["data"][1:], True)
    before = client.get_conversation_messages(user, conversation, newest["data"][0]["id"]).json()
    assert (before["data"], before["has_more"]) == (history["data"][:1], False)
    assert client.get_conversation_messages(user).json()["data"] == history["data"]


def test_the_python_client_rates_an_answer(client: ChatClient, user: str) -> None:
    answer = client.create_chat_message({}, "Why?", user).json()
    for rating in ("like", "dislike", None):
        assert client.message_feedback(answer["id"], rating, user).json()["result"] == "success"
        [message] = client.get_conversation_messages(user).json()["data"]
        assert message["feedback"] == (rating and {"rating": rating})


def test_the_python_client_lists_and_renames_conversations(client: ChatClient, user: str) -> None:
    made = [
        client.create_chat_message({}, f"Question {number}?", user).json()["conversation_id"]
        for number in range(3)
    ]
    page = client.get_conversations(user, limit=2).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[:0:-1], True)
    rest = client.get_conversations(user, page["data"][-1]["id"], 2, pinned=False).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (made[:1], False)
    assert rest["data"][0]["name"] == "Question 0?"
    renamed = client.rename_conversation(made[0], "ቡና", user).json()
    assert (renamed["result"], renamed["name"]) == ("success", "ቡና")
    assert client.get_conversations(user).json()["data"][-1]["name"] == "ቡና"


def test_the_python_client_shows_the_form_and_fills_it(client: ChatClient, user: str) -> None:
    form = client.get_application_parameters(user).json()["user_input_form"]
    [style] = [field["select"] for field in form if "select" in field]
    inputs = {"book": "Kebra Nagast", "myName": "Lucy", "style": style["options"][-1]}
    echo = script({"echo": "request"})
    answer = client.create_chat_message(inputs, echo, user).json()["answer"]
    assert json.loads(answer)["messages"][0] == {
        "role": "system",
        "text": f"You talk with Lucy about Kebra Nagast, in a {style['options'][-1]} style.",
    }
    refused = client.create_chat_message({"style": "rude"}, "eh", user)
    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_param"
    assert "style" in refused.json()["message"]


def test_the_python_client_is_told_what_is_wrong(client: ChatClient, user: str) -> None:
    answer = client.create_chat_message({}, "Mine.", user).json()
    conversation = answer["conversation_id"]
    for refused in (
        client.create_chat_message({}, "eh", "another", conversation_id=conversation),
        client.get_conversation_messages("another", conversation),
        client.rename_conversation(conversation, "Mine", "another"),
        client.message_feedback(answer["id"], "like", "another"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    client.api_key = "sk_test_wrong"
    refused = client.get_conversations(user)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


# Dify's client for Node ---------------------------------------------------------------------------

Call = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client in it, as npm installs it."""
    npm = shutil.which("npm")
    if npm is None or NODE is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("node")
    install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), NODE_CLIENT]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm can't install the client: {installed.stderr[-200:]}")
    return folder


@pytest.fixture
def node(node_client: Path, base_url: str) -> Call:
    """Calls methods of the client one after the other; returns the bodies."""

    def call(*calls: list[Any]) -> list[Any]:
        run = subprocess.run(
            [
                str(NODE),
                str(Path(__file__).with_name("dify.mjs")),
                str(node_client),
                base_url,
                SCRIPTED,
                json.dumps(calls),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        bodies: list[Any] = json.loads(run.stdout)
        return bodies

    return call


def test_the_node_client_does_everything(node: Call, user: str) -> None:
    [parameters, first] = node(
        ["getApplicationParameters", user],
        ["createChatMessage", {}, script({"text": "Hello"}), user],
    )
    assert parameters["user_input_form"]
    conversation, message = first["conversation_id"], first["message_id"]
    [streamed, rated, history, earlier, unnamed] = node(
        ["createChatMessage", {}, script({"text": "ሰላም"}), user, True, conversation],
        ["messageFeedback", message, "like", user],
        ["getConversationMessages", user, conversation],
        ["getConversationMessages", user, conversation, None, 1],
        ["getConversationMessages", user],
    )
    *deltas, end = lines(streamed)
    assert "".join(event["answer"] for event in deltas) == "ሰላም"
    assert end["event"] == "message_end"
    assert rated["result"] == "success"
    assert [each["answer"] for each in history["data"]] == ["Hello", "ሰላም"]
    assert history["data"][0]["feedback"] == {"rating": "like"}
    assert (earlier["data"], earlier["has_more"]) == (history["data"][1:], True)
    assert unnamed["data"] == history["data"]

    [second] = node(["createChatMessage", {}, "Another question?", user, False, None, []])
    [page, rest, renamed, generated, deleted, left] = node(
        ["getConversations", user, None, 1],
        ["getConversations", user, second["conversation_id"], 1],
        ["renameConversation", conversation, "ቡና", user, False],
        ["renameConversation", second["conversation_id"], "", user, True],
        ["deleteConversation", second["conversation_id"], user],
        ["getConversations", user],
    )
    assert [each["id"] for each in page["data"]] == [second["conversation_id"]]
    assert page["has_more"] is True
    assert [each["id"] for each in rest["data"]] == [conversation]
    assert (renamed["result"], renamed["name"]) == ("success", "ቡና")
    assert generated["name"] == "Another question?"
    assert deleted == {"result": "success"}
    assert [each["id"] for each in left["data"]] == [conversation]


# What they don't cover ----------------------------------------------------------------------------


@pytest.fixture
def scripted(base_url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {SCRIPTED}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=60) as client:
        yield client


def test_an_answer_is_stopped_by_its_task_and_kept_as_far_as_it_came(
    scripted: httpx.Client, user: str
) -> None:
    body = {
        "query": script({"text": "first "}, {"wait": 60}, {"text": "never"}),
        "response_mode": "streaming",
        "user": user,
    }
    seen = []
    with scripted.stream("POST", "/chat-messages", json=body) as reply:
        for line in reply.iter_lines():
            if not line.startswith("data: "):
                continue
            seen.append(json.loads(line[6:]))
            if seen[-1]["event"] == "message":
                stop = f"/chat-messages/{seen[-1]['task_id']}/stop"
                assert scripted.post(stop, json={"user": "another"}).status_code == 404
                assert scripted.post(stop, json={"user": user}).json() == {"result": "success"}
    assert [event["event"] for event in seen] == ["message", "message_end"]
    [message] = scripted.get("/messages", params={"user": user}).json()["data"]
    assert (message["answer"], message["status"]) == ("first ", "normal")


def test_a_stream_that_fails_ends_in_an_error_event(scripted: httpx.Client, user: str) -> None:
    body = {
        "query": script({"text": "half"}, {"fail": "error"}),
        "response_mode": "streaming",
        "user": user,
    }
    reply = scripted.post("/chat-messages", json=body)
    assert reply.status_code == 200
    delta, error = lines(reply.text)
    assert delta["answer"] == "half"
    assert error["event"] == "error"
    assert error.keys() >= {"task_id", "message_id", "status", "code", "message"}


def test_suggestions_info_and_meta_are_served(scripted: httpx.Client, user: str) -> None:
    answer = scripted.post("/chat-messages", json={"query": "Why?", "user": user}).json()
    suggested = scripted.get(f"/messages/{answer['id']}/suggested", params={"user": user}).json()
    assert suggested["result"] == "success"
    assert all(isinstance(question, str) for question in suggested["data"])
    assert scripted.get("/info").json()["mode"] == "chat"
    assert scripted.get("/meta").json() == {"tool_icons": {}}
