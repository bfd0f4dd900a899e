"""One conversation, whichever dialect it is held in: listed, read and continued in all of them."""

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx
import pytest
from websockets.sync.client import connect

from parley.domain.ids import ConversationId, MessageId
from tests.e2e.conftest import Stack

KEY = "sk_test_conformance"


@dataclass(frozen=True)
class Said:
    """A message, as any dialect can tell it."""

    number: int
    role: str
    text: str


class Dialect(Protocol):
    """How a client of one dialect does what most of them can do; None where this one can't."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        """Speak as this user, with a client that knows host and key."""
        ...

    def begin(self, text: str) -> ConversationId:
        """Begin a conversation by saying something."""
        ...

    def conversations(self) -> list[ConversationId] | None:
        """The user's conversations, newest first."""
        ...

    def read(self, conversation: ConversationId) -> list[Said] | None:
        """What was said, oldest first."""
        ...

    def say(self, conversation: ConversationId, text: str) -> str:
        """Go on; the answer's text."""
        ...


class Sessions:
    """The server-side sessions beside Chat Completions: UUIDs."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        self._user = user

    def begin(self, text: str) -> ConversationId:
        created = ok(self._http.post("/v1/chats", json={"user": self._user}))
        conversation = ConversationId.parse(created.json()["id"])
        self.say(conversation, text)
        return conversation

    def conversations(self) -> list[ConversationId]:
        listed = ok(self._http.get("/v1/chats", params={"user": self._user})).json()
        return [ConversationId.parse(chat["id"]) for chat in listed["data"]]

    def read(self, conversation: ConversationId) -> list[Said]:
        history = ok(self._http.get(f"/v1/chat/{conversation}/history")).json()
        return [
            Said(MessageId.parse(message["id"]).number, message["role"], message["content"])
            for message in history["messages"]
        ]

    def say(self, conversation: ConversationId, text: str) -> str:
        reply = ok(self._http.post(f"/v1/chat/{conversation}", json={"content": text})).json()
        answer: str = reply["content"]
        return answer


class Tenant:
    """Chats of a tenant's users: UUIDs; said over a WebSocket, read over HTTP."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        self._user = user

    def begin(self, text: str) -> ConversationId:
        created = ok(self._http.post("/api/v1/chats/", json={"user_id": self._user}))
        conversation = ConversationId.parse(created.json()["chat_id"])
        self.say(conversation, text)
        return conversation

    def conversations(self) -> list[ConversationId]:
        listed = ok(self._http.get(f"/api/v1/chats/user/{self._user}")).json()
        assert listed["total"] == len(listed["chats"])
        return [ConversationId.parse(chat["id"]) for chat in listed["chats"]]

    def read(self, conversation: ConversationId) -> list[Said]:
        page = ok(self._http.get(f"/api/v1/chats/{conversation}/messages")).json()
        assert page["total"] == len(page["messages"])
        return [
            Said(MessageId.parse(message["id"]).number, message["role"], message["content"])
            for message in page["messages"]
        ]

    def say(self, conversation: ConversationId, text: str) -> str:
        url = str(self._http.base_url.copy_with(scheme="ws", path="/ws/chat"))
        query = {"api_key": KEY, "user_id": self._user, "chat_id": str(conversation)}
        told: list[dict[str, Any]] = []
        with connect(f"{url}?{urlencode(query)}") as socket:
            socket.send(json.dumps({"content": text}))
            while not told or told[-1]["type"] not in {"message_stream_ended", "error"}:
                told.append(json.loads(socket.recv(timeout=60)))
        assert told[-1]["type"] == "message_stream_ended", told[-1]
        return "".join(
            event["content"] for event in told if event["type"] == "message_stream_token"
        )


class Apps:
    """Dify's chat applications: UUIDs; a question and its answer are one message."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        self._user = user

    def begin(self, text: str) -> ConversationId:
        return ConversationId.parse(self._ask(text)["conversation_id"])

    def conversations(self) -> list[ConversationId]:
        listed = ok(self._http.get("/ai/v1/conversations", params={"user": self._user})).json()
        return [ConversationId.parse(conversation["id"]) for conversation in listed["data"]]

    def read(self, conversation: ConversationId) -> list[Said]:
        query = {"user": self._user, "conversation_id": str(conversation)}
        page = ok(self._http.get("/ai/v1/messages", params=query)).json()
        said = []
        for message in page["data"]:
            number = MessageId.parse(message["id"]).number
            said.append(Said(number - 1, "user", message["query"]))
            said.append(Said(number, "assistant", message["answer"]))
        return said

    def say(self, conversation: ConversationId, text: str) -> str:
        return self._ask(text, conversation_id=str(conversation))["answer"]

    def _ask(self, text: str, **fields: str) -> dict[str, str]:
        body = {"inputs": {}, "query": text, "user": self._user, **fields}
        answer: dict[str, str] = ok(self._http.post("/ai/v1/chat-messages", json=body)).json()
        return answer


class Consultant:
    """The consultant of a shop: integers; it lists no chats."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        self._user = user

    def begin(self, text: str) -> ConversationId:
        return ConversationId.from_number(self._ask(text)["chat_id"])

    def conversations(self) -> None:
        return None

    def read(self, conversation: ConversationId) -> list[Said]:
        messages = ok(self._http.get(f"/api/v1/chat/{conversation.number}/messages")).json()
        return [
            Said(
                message["id"],
                "user" if message["is_from_user"] else "assistant",
                message["content"],
            )
            for message in messages
        ]

    def say(self, conversation: ConversationId, text: str) -> str:
        answer: str = self._ask(text, chat_id=conversation.number)["response"]
        return answer

    def _ask(self, text: str, **fields: int) -> dict[str, Any]:
        body = {"message": text, "user_id": self._user, **fields}
        answer: dict[str, Any] = ok(self._http.post("/api/v1/chat", json=body)).json()
        return answer


class Personas:
    """Sessions with a persona, held with the user's own token: UUIDs; only spoken to."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        issued = ok(http.post("/api/chat/get_token", json={"user_id": user})).json()
        self._headers = {"authorization": f"Bearer {issued['token']}"}

    def begin(self, text: str) -> ConversationId:
        first, *_ = self._stream("completion", {"message": text})
        return ConversationId.parse(first["session_id"])

    def conversations(self) -> None:
        return None

    def read(self, _: ConversationId) -> None:
        return None

    def say(self, conversation: ConversationId, text: str) -> str:
        body = {"message": text, "session_id": str(conversation)}
        events = self._stream("continuation", body)
        return "".join(event["content"] for event in events if event["type"] == "token")

    def _stream(self, what: str, body: dict[str, str]) -> list[dict[str, Any]]:
        reply = ok(self._http.post(f"/api/chat/{what}/stream", json=body, headers=self._headers))
        events = [json.loads(line[6:]) for line in reply.text.splitlines() if line[:6] == "data: "]
        assert events[-1]["type"] == "done", events[-1]
        return events


DIALECTS: tuple[type[Dialect], ...] = (Sessions, Tenant, Consultant, Apps, Personas)


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        yield client


def ok(reply: httpx.Response) -> httpx.Response:
    assert reply.is_success, f"{reply.request.method} {reply.request.url}: {reply.text}"
    return reply


def script(**step: str) -> str:
    """A message that tells the scripted model what to answer."""
    return "script:" + json.dumps([step])


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.__name__)
def test_calls_and_their_results_survive_in_every_dialect(
    http: httpx.Client, dialect: type[Dialect]
) -> None:
    user = f"user-{uuid.uuid4().hex}"
    sessions, here = Sessions(http, user), dialect(http, user)
    conversation = here.begin("What do you need?")
    url = f"/v1/chat/{conversation}"
    tool = {"type": "function", "function": {"name": "look"}}
    asked = {"content": "Look.", "tools": [tool], "tool_choice": "required"}
    (call,) = ok(http.post(url, json=asked)).json()["toolCalls"]
    results = [{"toolCallId": call["id"], "content": "A castle."}]
    ok(http.post(url, json={"role": "tool", "toolResults": results}))

    read = here.read(conversation)

    everything = sessions.read(conversation)
    assert [said.role for said in everything[2:]] == ["user", "assistant", "tool", "assistant"]
    assert [said.text for said in everything[3:5]] == ["", ""]
    if read is not None:
        assert [(said.number, said.text) for said in read] == [
            (said.number, said.text) for said in everything
        ]
        assert read[4].role == ("tool" if dialect in {Sessions, Tenant} else "user")

    shown = json.loads(here.say(conversation, script(echo="request")))["messages"]

    *_, calling, given, _, _ = shown
    assert calling["tool_calls"] == [{"id": call["id"], "name": "look", "arguments": "{}"}]
    assert given == {"role": "tool", "text": "A castle.", "tool_call_id": call["id"]}


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(DIALECTS, repeat=2)), ids=lambda each: each.__name__
)
def test_a_conversation_goes_on_in_any_dialect(
    http: httpx.Client, first: type[Dialect], second: type[Dialect]
) -> None:
    user = f"user-{uuid.uuid4().hex}"
    here, there, reader = first(http, user), second(http, user), Sessions(http, user)
    question = script(text="ሰላም, said first")
    conversation = here.begin(question)
    before = reader.read(conversation)
    assert [(said.role, said.text) for said in before] == [
        ("user", question),
        ("assistant", "ሰላም, said first"),
    ]
    for dialect in (here, there):
        assert dialect.conversations() in (None, [conversation])
        assert dialect.read(conversation) in (None, before)

    answer = there.say(conversation, script(echo="request"))

    shown = [message["text"] for message in json.loads(answer)["messages"]]
    assert shown[-3:] == [question, "ሰላም, said first", script(echo="request")]
    after = reader.read(conversation)
    assert after[:2] == before
    assert [(said.role, said.text) for said in after[2:]] == [
        ("user", script(echo="request")),
        ("assistant", answer),
    ]
    for dialect in (here, there):
        assert dialect.conversations() in (None, [conversation])
        assert dialect.read(conversation) in (None, after)
