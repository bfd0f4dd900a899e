"""What belongs to one caller doesn't exist for any other, on every route there is.

The routes are those of the running stack's own OpenAPI document, so a new one is covered as soon as
it is served; where it names an id in a way unheard of, the test says so.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from parley.domain.ids import ConversationId, MessageId
from tests.e2e.conftest import Stack

OWNER_KEY = "sk_test_demo"
OWNER_MODEL = "smollm2-135m"
USER = f"anna-{secrets.token_hex(4)}"
"""A user of the same name in every tenant."""


class Kind(Enum):
    """What a parameter names."""

    CONVERSATION = auto()
    MESSAGE = auto()
    USER = auto()


KINDS: Mapping[str, Kind] = {
    "after": Kind.CONVERSATION,
    "chatId": Kind.CONVERSATION,
    "chat_id": Kind.CONVERSATION,
    "conversation_id": Kind.CONVERSATION,
    "first_id": Kind.MESSAGE,
    "last_id": Kind.CONVERSATION,
    "message_id": Kind.MESSAGE,
    "session_id": Kind.CONVERSATION,
    "task_id": Kind.MESSAGE,
    "user": Kind.USER,
    "user_id": Kind.USER,
}
"""Parameters and body fields that name something which belongs to somebody."""

PLAIN: Mapping[str, Any] = {
    "limit": 10,
    "model": "wesen-chat-v1",
    "offset": 0,
    "order": "asc",
    "sort_by": "-created_at",
}
"""Parameters that don't, and what to send where they are required."""


@dataclass(frozen=True)
class Belongings:
    """What a caller has, in its tenant."""

    user: str
    conversation: ConversationId
    message: MessageId
    text: str
    """Title, prompt and message of the conversation."""

    def of(self, field: "Field") -> str | int:
        """What to send in a field, in the form that its dialect shows."""
        if field.kind is Kind.USER:
            return self.user
        thing = self.conversation if field.kind is Kind.CONVERSATION else self.message
        return thing.number if field.is_number else str(thing)

    @property
    def secrets(self) -> list[str]:
        """What nobody else may ever read."""
        things = (self.conversation, self.message)
        return [self.text, *map(str, things), *(str(thing.number) for thing in things)]


@dataclass(frozen=True)
class Field:
    """A parameter or a field of the body."""

    name: str
    place: str
    """`path`, `query` or `body`."""
    is_required: bool
    schema: Mapping[str, Any]

    @property
    def kind(self) -> Kind | None:
        return KINDS.get(self.name)

    @property
    def is_number(self) -> bool:
        branches = [self.schema, *self.schema.get("anyOf", ())]
        return any(branch.get("type") == "integer" for branch in branches)


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the document describes it."""

    method: str
    path: str
    fields: tuple[Field, ...]
    example: Mapping[str, Any] | None
    """A body, where there is one."""

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def naming(self, *kinds: Kind) -> list[Field]:
        return [field for field in self.fields if field.kind in kinds]


@dataclass(frozen=True)
class Stranger:
    """Somebody to whom the owner's things mustn't exist."""

    name: str
    key: str
    owns: Belongings
    says_who_it_is: bool = False
    """Whether only the user named in a request tells it from the owner, so that some must be."""


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        yield client


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation that the document describes."""

    def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return resolved(found)

    for path, item in document["paths"].items():
        for method, described in item.items():
            fields = [
                Field(given["name"], given["in"], given["required"], given["schema"])
                for given in described.get("parameters", ())
            ]
            content = described.get("requestBody", {}).get("content", {})
            body = resolved(content.get("application/json", {}).get("schema", {}))
            required = body.get("required", ())
            fields += [
                Field(name, "body", name in required, resolved(schema))
                for name, schema in body.get("properties", {}).items()
            ]
            example = next(iter(body.get("examples", ({},)))) if content else None
            yield Operation(method, path, tuple(fields), example)


def unknown(operation: Operation) -> Iterator[str]:
    """Fields that this test wouldn't know how to fill."""
    for each in operation.fields:
        if each.kind is not None or each.name in PLAIN:
            continue
        names_a_thing = re.search(r"(^|_)id$|Id$", each.name)
        is_given = not each.is_required or each.name in (operation.example or ())
        if each.place != "body" or names_a_thing or not is_given:
            yield each.name


def send(
    http: httpx.Client, operation: Operation, key: str, values: Mapping[str, str | int]
) -> httpx.Response:
    """Make a request with these values; the document's example and `PLAIN` fill in the rest."""
    path = operation.path
    query: dict[str, Any] = {}
    body = dict(operation.example) if operation.example is not None else None
    for each in operation.fields:
        if each.name in values:
            value: Any = values[each.name]
        elif each.is_required and each.place != "body":
            value = PLAIN[each.name]
        else:
            if body is not None and each.kind is not None:
                body.pop(each.name, None)  # an example's id is nobody's
            continue
        match each.place:
            case "path":
                path = path.replace(f"{{{each.name}}}", quote(str(value), safe=""))
            case "query":
                query[each.name] = value
            case "body":
                assert body is not None
                body[each.name] = value
    headers = {"authorization": f"Bearer {key}"}
    return http.request(operation.method, path, params=query, json=body, headers=headers)


def begin(http: httpx.Client, key: str, user: str, model: str) -> Belongings:
    """A conversation with one turn, in the tenant of this key."""
    headers = {"authorization": f"Bearer {key}"}
    text = f"secret {secrets.token_hex(8)}"
    chat = {"user": user, "title": text, "systemPrompt": text, "model": model}
    created = http.post("/v1/chats", json=chat, headers=headers)
    assert created.status_code == 201, created.text
    chat_id = created.json()["id"]
    message = {"content": text, "max_tokens": 4}
    said = http.post(f"/v1/chat/{chat_id}", json=message, headers=headers)
    assert said.status_code == 201, said.text
    message_id = MessageId.parse(said.json()["id"])
    return Belongings(user, ConversationId.parse(chat_id), message_id, text)


def state(http: httpx.Client, owns: Belongings) -> list[Any]:
    """All that the owner sees of what it has."""
    headers = {"authorization": f"Bearer {OWNER_KEY}"}
    chat = str(owns.conversation)
    replies = [
        http.get("/v1/chats", params={"user": USER}, headers=headers),
        http.get(f"/v1/chats/{chat}", headers=headers),
        http.get(f"/v1/chat/{chat}/history", headers=headers),
    ]
    assert [reply.status_code for reply in replies] == [200] * 3
    return [reply.json() for reply in replies]


def never_issued() -> Belongings:
    """Ids that are well formed and nobody's."""
    conversation = ConversationId(secrets.randbelow(2**33 - 1) + 1)
    return Belongings("nobody", conversation, MessageId(conversation, 2), "")


def strangers(http: httpx.Client) -> list[Stranger]:
    """Everyone who might try."""
    other = "sk_test_conformance"
    return [
        Stranger("another tenant's user of the same name", other, begin(http, other, USER, "any")),
        Stranger(
            "another user of the same tenant",
            OWNER_KEY,
            begin(http, OWNER_KEY, f"berta-{secrets.token_hex(4)}", OWNER_MODEL),
            says_who_it_is=True,
        ),
    ]


def faults(
    http: httpx.Client, operation: Operation, stranger: Stranger, owner: Belongings
) -> Iterator[str]:
    """What is wrong with how an operation answers a stranger."""
    things = operation.naming(Kind.CONVERSATION, Kind.MESSAGE)
    users = operation.naming(Kind.USER)
    if stranger.says_who_it_is and not users:
        return

    def ask(stolen: Field | None, whose: Belongings) -> httpx.Response:
        """Ask for one thing of somebody's; whatever else must be named is the stranger's own."""
        values = {
            each.name: (whose if each is stolen else stranger.owns).of(each)
            for each in [*things, *users]
            if each is stolen or each.is_required or each in users
        }
        reply = send(http, operation, stranger.key, values)
        assert reply.status_code < 500, f"{operation}: {reply.text}"
        return reply

    for stolen in things:
        nobody = never_issued()
        owners, nobodys = ask(stolen, owner), ask(stolen, nobody)
        if nobodys.status_code != 404:
            yield f"{stolen.name}: {nobodys.status_code} {nobodys.text[:500]} for nobody's"
        as_nobodys = owners.text.replace(str(owner.of(stolen)), str(nobody.of(stolen)))
        if (owners.status_code, as_nobodys) != (nobodys.status_code, nobodys.text):
            yield f"{stolen.name}: {owners.status_code} {owners.text[:500]} for the owner's"
    if not any(each.is_required for each in things):
        reply = ask(None, owner)
        if not reply.is_success:
            yield f"{reply.status_code} {reply.text[:500]}"
        shown = [secret for secret in owner.secrets if secret in reply.text]
        if shown:
            yield f"shows {shown}: {reply.text[:500]}"


def test_no_route_shows_or_changes_what_is_anothers(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    owner = begin(http, OWNER_KEY, USER, OWNER_MODEL)
    before = state(http, owner)
    # Deletions come last, so that there is something left for the others to give away.
    described = sorted(operations(document), key=lambda operation: operation.method == "delete")
    assert described
    strange = {str(each): names for each in described if (names := list(unknown(each)))}
    assert not strange, f"Say in KINDS or PLAIN what these are: {strange}"

    found = [
        f"{stranger.name}: {operation}: {fault}"
        for stranger in strangers(http)
        for operation in described
        for fault in faults(http, operation, stranger, owner)
    ]

    assert not found, "\n".join(found)
    assert state(http, owner) == before


def test_the_walk_meets_every_route_that_names_a_thing(http: httpx.Client) -> None:
    """As a check of the test itself: ids are found in paths, in queries and in bodies."""
    document = http.get("/openapi.json").json()
    things = {
        f"{operation} {each.place} {each.name}"
        for operation in operations(document)
        for each in operation.naming(Kind.CONVERSATION, Kind.MESSAGE)
    }
    assert {
        "GET /v1/chats query after",
        "POST /v1/chat/{chatId} path chatId",
        "DELETE /api/v1/chats/{chat_id} path chat_id",
    } <= things
