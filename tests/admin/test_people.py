"""A user's data is handed out whole, line by line, and removed without a trace."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.adapters.dynamodb.erasure import DynamoErasure
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Origin, Role, Scope
from parley.domain.errors import NotFound
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Answer
from parley.domain.sockets import ChatRef, ReplyText
from parley.domain.turns import PromptMessage
from parley.services.administration import people
from parley.services.administration.people import People
from parley.services.administration.tenants import Tenants
from tests.admin.conftest import Program
from tests.admin.test_deletion import Interruption, interrupted_after, left_of
from tests.support.stores import Stores, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

LONG = "ሰላም\n👋 " * 30_000


async def stored_completion(stores: Stores, user: str, text: str) -> None:
    pending = stores.completion(origin=Origin(dialect="openai", key_id="key-1", user=user))
    await stores.conversations.begin_completions(stores.scope, [pending])
    reply = finished(pending, text)
    record = replace(stores.record(reply), user=user)
    assert await stores.conversations.settle(reply, record, last=None)
    await stores.completions.keep(
        StoredCompletion(
            id=reply.id,
            tenant=stores.tenant,
            user=user,
            created_at=stores.clock.now(),
            model="a-model",
            messages=(PromptMessage(Role.USER, text),),
            replies=(reply,),
        )
    )


async def test_every_message_of_a_user_is_a_line(program: Program, stores: Stores) -> None:
    told = []
    for number in range(60):
        stores.clock.advance(1)
        talk = await stores.begin(user="alice", title=f"talk {number}", metadata={"n": number})
        for turn in range(number % 3):
            await stores.take_turn(
                await stores.conversations.get(stores.scope, talk.id), f"q{turn}", f"a{turn}"
            )
        told.append((str(talk.id), 2 * (number % 3)))
    await stored_completion(stores, "alice", "keep me")
    await stores.take_turn(await stores.begin(user="bob"), "not hers")
    answer = await program.run_away("users", "export", stores.tenant, "alice")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    heads = [line for line in lines if line["type"] == "conversation"]
    assert [(head["id"], head["message_count"]) for head in heads] == told
    assert [head["metadata"]["n"] for head in heads] == list(range(60))
    for head in heads:
        said = [line["sequence"] for line in lines if line.get("conversation") == head["id"]]
        assert said == list(range(1, head["message_count"] + 1))
    [kept] = [line for line in lines if line["type"] == "completion"]
    assert kept["messages"][0]["text"] == kept["replies"][0]["text"] == "keep me"
    assert "not hers" not in answer.out


async def test_a_long_text_is_handed_out_to_the_letter(
    program: Program, stores: Stores, tmp_path: Path
) -> None:
    talk = await stores.begin(user="alice", system_prompt=LONG)
    await stores.take_turn(talk, LONG, LONG + "!")
    file = tmp_path / "alice.jsonl"
    told = await program.away("users", "export", stores.tenant, "alice", "--to", str(file))
    head, question, reply = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert told["lines"] == 3
    assert (head["system_prompt"], question["text"], reply["text"]) == (LONG, LONG, LONG + "!")
    again = await program.refused_away("users", "export", stores.tenant, "alice", "--to", str(file))
    assert "can't be written" in again


async def test_what_is_removed_while_it_is_handed_out_is_missing_and_no_more(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr(people, "MESSAGES_AT_ONCE", 2)
    for number in range(5):
        stores.clock.advance(1)
        await stores.begin(user="alice", title=f"talk {number}")
        await stored_completion(stores, "alice", f"completion {number}")
    told: list[str] = []
    async for line in operator(stores, dynamodb, tables).export(stores.tenant, "alice"):
        if line["type"] == "conversation":
            told.append(line["title"])
            if line["title"] == "talk 1":  # the last of its page
                gone = ConversationId.parse(line["id"])
                await stores.conversations.delete(stores.scope, gone)
        else:
            told.append(line["messages"][0]["text"])
            if told[-1] == "completion 3":
                await stores.completions.delete(stores.scope, MessageId.parse(line["id"]))
    assert told == [f"{kind} {number}" for kind in ("talk", "completion") for number in range(5)]


async def test_handing_out_takes_the_memory_of_a_few_messages(
    stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    text = "x" * 300_000
    talk = await stores.begin(user="alice")
    for _ in range(40):
        await stores.take_turn(talk, text, text)
        talk = await stores.conversations.get(stores.scope, talk.id)
    tracemalloc.start()
    try:
        lines = operator(stores, dynamodb, tables).export(stores.tenant, "alice")
        read = sum([len(line.get("text", "")) async for line in lines])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 80 * len(text)
    assert peak < read / 2


async def test_conversations_are_listed_newest_first_by_pages(
    program: Program, stores: Stores
) -> None:
    for number in range(5):
        stores.clock.advance(1)
        await stores.begin(user="alice", title=f"talk {number}")
    first = await program.away("conversations", "list", stores.tenant, "alice", "--limit", "3")
    assert [each["title"] for each in first] == ["talk 4", "talk 3", "talk 2"]
    rest = await program.away(
        "conversations", "list", stores.tenant, "alice", "--after", first[-1]["id"]
    )
    assert [each["title"] for each in rest] == ["talk 1", "talk 0"]


async def fill(stores: Stores, user: str) -> None:
    """Everything that can be stored of a user."""
    for number in range(3):
        talk = await stores.begin(user=user, alias=f"{user}-{number}", system_prompt=LONG)
        reply = finished((await stores.append(talk, LONG))[1], "Hi!")
        record = replace(stores.record(reply), user=user)
        assert await stores.conversations.settle(reply, record, last=None)
        said, chat = ReplyText(reply.id, "Hello"), ChatRef(stores.tenant, talk.id)
        await stores.events.append(chat, said, at=stores.clock.now())
    await stores.conversations.see_user(stores.tenant, user)
    await stored_completion(stores, user, f"{user}: {LONG}")
    await stores.connections.register(stores.connection(user, user=user))


async def test_a_user_is_removed_and_the_others_stay(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    user, other = "alice-to-forget", "bob-who-stays"
    await fill(stores, user)
    await fill(stores, other)
    spent = (await program.away("usage", stores.tenant))["total"]
    theirs = left_of(dynamodb, tables, other)

    told = await program.away("users", "delete", stores.tenant, user, "--yes")
    assert (told["conversations"], told["completions"], told["ledger_lines"]) == (3, 1, 4)

    assert left_of(dynamodb, tables, user) == []
    assert left_of(dynamodb, tables, other) == theirs
    assert (await program.away("usage", stores.tenant))["total"] == spent
    report = await program.away("usage", stores.tenant, "--by", "user")
    assert {row["user"]: row["turns"] for row in report["rows"]} == {"": 4, other: 4}
    again = await program.away("users", "delete", stores.tenant, user, "--yes")
    assert set(again.values()) == {0}


@pytest.mark.parametrize("writes", [0, 1, 2, 5])
async def test_an_interrupted_removal_is_ended_by_the_same_command(
    program: Program,
    stores: Stores,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    writes: int,
) -> None:
    user = "alice-to-forget"
    await fill(stores, user)
    removing = operator(stores, dynamodb, tables)
    with interrupted_after(dynamodb, writes), pytest.raises(Interruption):
        await removing.delete(stores.tenant, user)
    assert left_of(dynamodb, tables, user)
    await program.away("users", "delete", stores.tenant, user, "--yes")
    assert left_of(dynamodb, tables, user) == []


async def test_a_conversation_whose_deletion_somebody_left_unfinished_goes_with_its_user(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    user = "alice-to-forget"
    talk = await stores.begin(user=user, system_prompt=LONG)
    await stores.take_turn(talk, LONG)
    with interrupted_after(dynamodb, 0), pytest.raises(Interruption):
        await stores.conversations.delete(stores.scope, talk.id)
    assert await stores.conversations.unfinished_deletions(stores.scope, user) == (talk.id,)
    assert await stores.conversations.unfinished_deletions(stores.scope, "bob") == ()
    assert await program.away("conversations", "list", stores.tenant, user) == []
    await program.away("users", "delete", stores.tenant, user, "--yes")
    assert left_of(dynamodb, tables, user) == []
    with pytest.raises(NotFound):
        await stores.conversations.get(stores.scope, talk.id)


async def test_a_completion_whose_deletion_was_left_unfinished_goes_with_its_user(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    user = "alice-to-forget"
    await stored_completion(stores, user, LONG)
    for number in range(12):
        stores.clock.advance(1)
        await stored_completion(stores, user, f"{user}: {number}")
    alice = Scope(stores.tenant, user)
    kept = await stores.completions.list(
        alice, limit=20, after=None, newest_first=False, model=None, metadata={}
    )

    def interrupt(**_: Any) -> None:
        raise Interruption

    event = "before-call.dynamodb.TransactWriteItems"
    dynamodb.meta.events.register(event, interrupt)
    try:
        with pytest.raises(Interruption):
            await stores.completions.delete(alice, kept.items[0].id)
    finally:
        dynamodb.meta.events.unregister(event, interrupt)
    told = await program.away("users", "delete", stores.tenant, user, "--yes")
    assert told["completions"] == 13
    assert left_of(dynamodb, tables, user) == []


async def test_answers_to_requests_that_may_be_repeated_go_with_their_user(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    user = "alice-to-forget"
    first, second = stores.once("first"), stores.once("second")
    talk = stores.new(user=user)
    await stores.conversations.create(talk, once=first)
    origin = Origin(dialect="openai", key_id="key-1", user=user)
    await stores.append(talk, once=second, origin=origin)
    for once in (first, second):
        await stores.requests.answered(once, Answer(200, "application/json", f"{user}: {LONG}"))
    await program.away("users", "delete", stores.tenant, user, "--yes")
    assert left_of(dynamodb, tables, user) == []
    for once in (first, second):
        assert await stores.requests.find(once) is None


async def test_a_completion_under_way_for_a_user_whom_its_request_names_goes_too(
    program: Program, stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    user = "alice-to-forget"
    origin = Origin(dialect="openai", key_id="key-1", user=user)
    running = [stores.completion(origin=origin) for _ in range(2)]
    await stores.conversations.begin_completions(stores.scope, running, once=stores.once())
    await program.away("users", "delete", stores.tenant, user, "--yes")
    assert left_of(dynamodb, tables, user) == []
    for reply in running:
        record = replace(stores.record(reply), user=user)
        assert not await stores.conversations.settle(finished(reply, LONG), record)
    assert left_of(dynamodb, tables, user) == []
    assert await stores.requests.find(stores.once()) is None


def operator(stores: Stores, client: "DynamoDBClient", tables: Tables) -> People:
    """The use cases on the client that the test interrupts."""
    database = Database(client, stores.clock)
    erasure = DynamoErasure(database, tables)
    return People(
        Tenants(stores.directory, erasure, stores.clock),
        store=stores.conversations,
        completions=DynamoCompletions(database, tables),
        ledger=DynamoLedger(database, tables),
        erasure=erasure,
        clock=stores.clock,
    )
