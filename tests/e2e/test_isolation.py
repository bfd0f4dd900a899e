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

from parley.dialects.openai.codec import completion_id, parse_completion_id
from parley.domain.ids import ConversationId, MessageId
from tests.e2e.conftest import Stack

OWNER_KEY = "sk_test_conformance"
USER = f"anna-{secrets.token_hex(4)}"
"""A user of the same name in every tenant."""


class Kind(Enum):
    """What a parameter names."""

    CONVERSATION = auto()
    MESSAGE = auto()
    COMPLETION = auto()
    USER = auto()


KINDS: Mapping[str, Kind] = {
    "after": Kind.CONVERSATION,
    "chatId": Kind.CONVERSATION,
    "chat_id": Kind.CONVERSATION,
    "completion_id": Kind.COMPLETION,
    "conversation_id": Kind.CONVERSATION,
    "first_id": Kind.MESSAGE,
    "last_id": Kind.CONVERSATION,
    "message_id": Kind.MESSAGE,
    "session_id": Kind.CONVERSATION,
    "task_id": Kind.MESSAGE,
    "turnId": Kind.MESSAGE,
    "user": Kind.USER,
    "user_id": Kind.USER,
}
"""Parameters and body fields that name something which belongs to somebody."""

PLAIN: Mapping[str, Any] = {
    "Idempotency-Key": "",
    "last-event-id": 0,
    "limit": 10,
    "metadata": {},
    "model": "wesen-chat-v1",
    "offset": 0,
    "order": "asc",
    "sort_by": "-created_at",
    "starting_after": 0,
}
"""Parameters that don't, and what to send where they are required."""


NEEDING_A_THING = {"POST /api/chat/continuation/stream"}
"""Operations that need one in either of two places, as a document can't say."""

FOR_KEYS_ALONE = {"POST /api/chat/get_token"}
"""Operations that no token may ask for."""


@dataclass(frozen=True)
class Belongings:
    """What a caller has, in its tenant."""

    user: str
    conversation: ConversationId
    message: MessageId
    completion: MessageId
    text: str
    """Title, prompt and message of the conversation."""

    @property
    def things(self) -> tuple[ConversationId | MessageId, ...]:
        return self.conversation, self.message, self.completion

    @property
    def secrets(self) -> list[str]:
        """What nobody else may ever read."""
        shown = [*map(str, self.things), *(str(thing.number) for thing in self.things)]
        return [self.text, *shown, completion_id(self.completion)]

    def of(self, field: "Field") -> str | int:
        """What to send in a field."""
        match field.kind:
            case Kind.USER:
                return self.user
            case Kind.CONVERSATION:
                return field.show(self.conversation)
            case Kind.COMPLETION:
                return field.show(self.completion)
            case _:
                return field.show(self.message)


@dataclass(frozen=True, eq=False)
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

    def show(self, thing: ConversationId | MessageId) -> str | int:
        """An id in the form that the field's dialect shows."""
        if self.kind is Kind.COMPLETION and isinstance(thing, MessageId):
            return completion_id(thing)
        branches = [self.schema, *self.schema.get("anyOf", ())]
        is_number = any(branch.get("type") == "integer" for branch in branches)
        return thing.number if is_number else str(thing)


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the document describes it."""

    method: str
    path: str
    fields: tuple[Field, ...]
    example: Mapping[str, Any] | None
    """A body, where there is one."""
    is_for_operators: bool

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def naming(self, *kinds: Kind) -> list[Field]:
        return [field for field in self.fields if field.kind in kinds]


class Told(Enum):
    """What tells a stranger from the owner."""

    BY_TENANT = auto()
    BY_TOKEN = auto()
    """The credential speaks for another user."""
    BY_REQUEST = auto()
    """The request names another user; where it can't, the stranger is the owner."""


@dataclass(frozen=True)
class Stranger:
    """Somebody to whom the owner's things mustn't exist."""

    name: str
    credential: str
    told: Told
    owns: Belongings


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
            schema = content.get("application/json", {}).get("schema", {})
            body = resolved(schema.get("oneOf", [schema])[0])  # one of several kinds stands for all
            required = body.get("required", ())
            fields += [
                Field(name, "body", name in required, resolved(schema))
                for name, schema in body.get("properties", {}).items()
            ]
            example = next(iter(body.get("examples", ({},)))) if content else None
            is_signed = {"SigV4": []} in described.get("security", ())
            yield Operation(method, path, tuple(fields), example, is_signed)


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
    http: httpx.Client, operation: Operation, credential: str, values: Mapping[Field, str | int]
) -> httpx.Response:
    """Make a request with these values; the document's example and `PLAIN` fill in the rest."""
    path = operation.path
    query: dict[str, Any] = {}
    body = dict(operation.example) if operation.example is not None else None
    for each in operation.fields:
        if body is not None and each.place == "body" and each.kind is not None:
            body.pop(each.name, None)  # an example's id is nobody's
        if each in values:
            value: Any = values[each]
        elif each.is_required and each.place != "body":
            value = PLAIN[each.name]
        else:
            continue
        match each.place:
            case "path":
                path = path.replace(f"{{{each.name}}}", quote(str(value), safe=""))
            case "query":
                query[each.name] = value
            case "body":
                assert body is not None
                body[each.name] = value
    headers = {"authorization": f"Bearer {credential}"}
    return http.request(operation.method, path, params=query, json=body, headers=headers)


def begin(http: httpx.Client, key: str, user: str) -> Belongings:
    """A conversation with one turn, in the tenant of this key."""
    headers = {"authorization": f"Bearer {key}"}
    text = f"secret {secrets.token_hex(8)}"
    chat = {"user": user, "title": text, "systemPrompt": text}
    created = http.post("/v1/chats", json=chat, headers=headers)
    assert created.status_code == 201, created.text
    chat_id = created.json()["id"]
    said = http.post(f"/v1/chat/{chat_id}", json={"content": text}, headers=headers)
    assert said.status_code == 201, said.text
    message_id = MessageId.parse(said.json()["id"])
    messages = [{"role": "user", "content": text}]
    asked = {"model": "any", "messages": messages, "store": True, "user": user}
    completed = http.post("/v1/chat/completions", json=asked, headers=headers)
    assert completed.status_code == 200, completed.text
    completion = parse_completion_id(completed.json()["id"])
    return Belongings(user, ConversationId.parse(chat_id), message_id, completion, text)


def state(http: httpx.Client, owns: Belongings) -> list[Any]:
    """All that the owner sees of what it has."""
    headers = {"authorization": f"Bearer {OWNER_KEY}"}
    chat = str(owns.conversation)
    replies = [
        http.get("/v1/chats", params={"user": USER}, headers=headers),
        http.get(f"/v1/chats/{chat}", headers=headers),
        http.get(f"/v1/chat/{chat}/history", headers=headers),
        http.get(f"/v1/chat/completions/{completion_id(owns.completion)}", headers=headers),
    ]
    assert [reply.status_code for reply in replies] == [200] * 4
    return [reply.json() for reply in replies]


def never_issued() -> Belongings:
    """Ids that are well formed and nobody's."""
    conversation = ConversationId(secrets.randbelow(2**33 - 1) + 1)
    return Belongings(
        "nobody", conversation, MessageId(conversation, 2), MessageId(conversation, 1), ""
    )


def strangers(http: httpx.Client) -> list[Stranger]:
    """Everyone who might try."""
    other = "sk_test_neighbour"
    named = begin(http, OWNER_KEY, f"berta-{secrets.token_hex(4)}")
    signed_in = begin(http, OWNER_KEY, f"clara-{secrets.token_hex(4)}")
    return [
        Stranger(
            "another tenant's user of the same name",
            other,
            Told.BY_TENANT,
            begin(http, other, USER),
        ),
        Stranger("another user named in the request", OWNER_KEY, Told.BY_REQUEST, named),
        Stranger("another user's token", token(http, signed_in.user), Told.BY_TOKEN, signed_in),
    ]


def token(http: httpx.Client, user: str) -> str:
    """A token of a user of the owner's tenant, for the persona that examples name."""
    headers = {"authorization": f"Bearer {OWNER_KEY}"}
    body = {"user_id": user, "persona": {"persona_id": 1, "version_type": "next"}}
    reply = http.post("/api/chat/get_token", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    issued: str = reply.json()["token"]
    return issued


class Visit:
    """A stranger at one operation."""

    def __init__(self, http: httpx.Client, operation: Operation, stranger: Stranger) -> None:
        self._http = http
        self._operation = operation
        self._stranger = stranger
        self._things = operation.naming(Kind.CONVERSATION, Kind.MESSAGE, Kind.COMPLETION)
        self._users = operation.naming(Kind.USER)

    def faults(self, owner: Belongings) -> Iterator[str]:
        """What is wrong with how the operation answers."""
        if self._stranger.told is Told.BY_REQUEST and not self._users:
            return
        for stolen in self._things:
            yield from self._stealing(stolen, owner)
        if self._stranger.told is Told.BY_TOKEN:
            for user in self._users:
                yield from self._posing(user, owner)
        is_complete = not any(each.is_required for each in self._things)
        if is_complete and str(self._operation) not in NEEDING_A_THING:
            yield from self._looking(owner)

    def _stealing(self, stolen: Field, owner: Belongings) -> Iterator[str]:
        """Ask for what is the owner's, and for what is nobody's."""
        # A field's name doesn't always tell what it names, so it is tried with either.
        for owned, unowned in zip(owner.things, never_issued().things, strict=True):
            owners, nobodys = stolen.show(owned), stolen.show(unowned)
            reply, expected = self._ask(stolen, owners), self._ask(stolen, nobodys)
            if expected.status_code != 404:
                yield f"{stolen.name}: {told(expected)} for nobody's"
            as_nobodys = reply.text.replace(str(owners), str(nobodys))
            if (reply.status_code, as_nobodys) != (expected.status_code, expected.text):
                yield f"{stolen.name}: {told(reply)} for the owner's"

    def _posing(self, user: Field, owner: Belongings) -> Iterator[str]:
        """Name the owner as the user that the token speaks for."""
        reply = self._ask(user, owner.user)
        if reply.status_code != 403:
            yield f"{user.name}: {told(reply)} for the owner's"

    def _looking(self, owner: Belongings) -> Iterator[str]:
        """Ask for what is the stranger's own."""
        reply = self._ask()
        if self._stranger.told is Told.BY_TOKEN and str(self._operation) in FOR_KEYS_ALONE:
            if reply.status_code != 403:
                yield f"{told(reply)} for a token"
        elif not reply.is_success:
            yield told(reply)
        shown = [secret for secret in owner.secrets if secret in reply.text]
        if shown:
            yield f"shows {shown}: {told(reply)}"

    def _ask(self, field: Field | None = None, value: str | int = "") -> httpx.Response:
        """Send a value in one field; whatever else must be named is the stranger's own."""
        values = {
            each: value if each is field else self._stranger.owns.of(each)
            for each in [*self._things, *self._users]
            if each is field or each.is_required or each in self._users
        }
        reply = send(self._http, self._operation, self._stranger.credential, values)
        assert reply.status_code < 500, f"{self._operation}: {reply.text}"
        return reply


def told(reply: httpx.Response) -> str:
    return f"{reply.status_code} {reply.text[:500]}"


def test_no_route_shows_or_changes_what_is_anothers(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    owner = begin(http, OWNER_KEY, USER)
    before = state(http, owner)
    # Deletions come last, so that there is something left for the others to give away.
    described = sorted(
        (each for each in operations(document) if not each.is_for_operators),
        key=lambda operation: operation.method == "delete",
    )
    assert described
    strange = {str(each): names for each in described if (names := list(unknown(each)))}
    assert not strange, f"Say in KINDS or PLAIN what these are: {strange}"

    found = [
        f"{stranger.name}: {operation}: {fault}"
        for stranger in strangers(http)
        for operation in described
        for fault in Visit(http, operation, stranger).faults(owner)
    ]

    assert not found, "\n".join(found)
    assert state(http, owner) == before


def test_nobody_with_a_tenant_s_credential_reaches_what_is_for_operators(
    http: httpx.Client,
) -> None:
    """Not even for the tenant's own things, nor learns that there is anything."""
    owner = begin(http, OWNER_KEY, USER)
    before = state(http, owner)
    described = [
        each for each in operations(http.get("/openapi.json").json()) if each.is_for_operators
    ]
    assert len(described) > 20
    own = {"tenant": "conformance", "key": "key_test_conformance", "persona": "my-alias"}
    credentials = [OWNER_KEY, "sk_test_neighbour", token(http, USER)]
    for operation in described:
        path = re.sub(r"{(\w+)}", lambda found: own[found[1]], operation.path)
        for credential in credentials:
            for headers in (
                {"authorization": f"Bearer {credential}"},
                {"x-api-key": credential},
                {"authorization": credential},
            ):
                reply = http.request(
                    operation.method,
                    path,
                    params={"user": USER, "tenant": own["tenant"]},
                    json=operation.example or {},
                    headers=headers,
                )
                assert reply.status_code == 404, f"{operation}: {told(reply)}"
                assert reply.json()["code"] == "not_found"  # in no dialect's words: the gateway's
                assert not any(secret in reply.text for secret in owner.secrets)
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
