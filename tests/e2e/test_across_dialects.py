"""One conversation, whichever dialect it is held in: listed, read and continued in all of them."""

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import httpx
import pytest

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
    """How a client of one dialect does what all of them can do; ids are shown in its own form."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        """Speak as this user, with a client that knows host and key."""
        ...

    def begin(self, text: str) -> ConversationId:
        """Begin a conversation by saying something."""
        ...

    def conversations(self) -> list[ConversationId]:
        """The user's conversations, newest first."""
        ...

    def read(self, conversation: ConversationId) -> list[Said]:
        """What was said, oldest first."""
        ...

    def say(self, conversation: ConversationId, text: str) -> Said:
        """Go on; the answer."""
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

    def say(self, conversation: ConversationId, text: str) -> Said:
        reply = ok(self._http.post(f"/v1/chat/{conversation}", json={"content": text})).json()
        return Said(MessageId.parse(reply["id"]).number, reply["role"], reply["content"])


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

    def say(self, conversation: ConversationId, text: str) -> Said:
        reply = self._ask(text, conversation_id=str(conversation))
        number = MessageId.parse(reply["message_id"]).number
        return Said(number, "assistant", reply["answer"])

    def _ask(self, text: str, **fields: str) -> dict[str, str]:
        body = {"inputs": {}, "query": text, "user": self._user, **fields}
        answer: dict[str, str] = ok(self._http.post("/ai/v1/chat-messages", json=body)).json()
        return answer


DIALECTS: tuple[type[Dialect], ...] = (Sessions, Apps)


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


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(DIALECTS, repeat=2)), ids=lambda each: each.__name__
)
def test_a_conversation_goes_on_in_any_dialect(
    http: httpx.Client, first: type[Dialect], second: type[Dialect]
) -> None:
    user = f"user-{uuid.uuid4().hex}"
    here, there = first(http, user), second(http, user)
    question = script(text="ሰላም, said first")
    conversation = here.begin(question)
    before = here.read(conversation)
    assert [(said.role, said.text) for said in before] == [
        ("user", question),
        ("assistant", "ሰላም, said first"),
    ]

    assert there.conversations() == [conversation]
    assert there.read(conversation) == before
    answer = there.say(conversation, script(echo="request"))

    shown = [message["text"] for message in json.loads(answer.text)["messages"]]
    assert shown[-3:] == [question, "ሰላም, said first", script(echo="request")]
    after = here.read(conversation)
    assert after[:2] == before
    assert [said.role for said in after[2:]] == ["user", "assistant"]
    assert after[3] == answer
    assert there.read(conversation) == after
    assert here.conversations() == there.conversations() == [conversation]
