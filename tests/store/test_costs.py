"""What each access pattern costs, as docs/table.md tells it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.demo_catalogue import demo_catalogue
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.dynamodb.client import Database, Tables, put
from parley.adapters.dynamodb.items import encode
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.adapters.system import SystemClock
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Conversation, Message, Origin, Rating, Role, Status
from parley.domain.holds import Hold, budget
from parley.domain.ids import MessageId
from parley.domain.once import Answer
from parley.domain.personas import Persona, PersonaContent
from parley.domain.routes import ModelRoute
from parley.domain.sockets import ReplyText
from parley.domain.tenants import ApiKey, KeyKind, Tenant
from parley.domain.turns import PromptMessage
from parley.domain.usage import Labels, Sums
from tests.support.capacity import Cost, item_size, metered, write_units
from tests.support.stores import Stores, completion_id, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

Measure = Callable[[str, Awaitable[object]], Awaitable[None]]

DOCUMENT = Path(__file__).parents[2] / "docs" / "table.md"

PROMPT = "p" * 200
TEXT = "t" * 500
LONG_TEXT = "l" * 1_000_000
METADATA = {"notes": "m" * 16_000}
ORIGIN = Origin(
    dialect="openai",
    key_id="key-1",
    user="alice",
    telling={"stream": True, "include_usage": True, "created": 1_772_366_400, "text_only": False},
)


async def stored_conversation(
    stores: Stores, client: "DynamoDBClient", tables: Tables, messages: int, **fields: Any
) -> Conversation:
    """A conversation with so many messages, written past the store."""
    conversation = await stores.begin(
        system_prompt=PROMPT, title="T", message_count=messages, **fields
    )
    rows = [
        Message(
            id=MessageId(conversation.id, sequence),
            role=Role.USER,
            text=TEXT,
            status=Status.COMPLETED,
            created_at=stores.clock.now(),
        )
        for sequence in range(1, messages + 1)
    ]
    Database(client, stores.clock).put_many(
        tables.conversations,
        (
            (keys.message(stores.tenant, row.id), {**items.from_message(row), "text": row.text})
            for row in rows
        ),
    )
    return conversation


async def cost_of(client: "DynamoDBClient", operation: Awaitable[object]) -> Cost:
    with metered(client) as cost:
        await operation
    return cost


# The rules ---------------------------------------------------------------------------------------


def test_an_items_size_is_that_of_its_names_and_values() -> None:
    assert item_size(encode({"pk": "ab", "text": "ሰላም"})) == 2 + 2 + 4 + 9
    assert item_size(encode({"n": 0})) == 1 + 1
    assert item_size(encode({"n": 12345})) == 1 + 3 + 1
    assert item_size(encode({"n": -100})) == 1 + 1 + 1


@pytest.mark.parametrize("size", [10, 1_000, 1_100, 5_000, 350_000])
async def test_ministack_charges_writes_by_the_rules(
    dynamodb: "DynamoDBClient", tables: Tables, ministack_stores: Stores, size: int
) -> None:
    database = Database(dynamodb, ministack_stores.clock)
    key = keys.Key(f"T#{ministack_stores.tenant}", "item")
    item = {"text": "x" * size}
    expected = write_units(encode({**key._asdict(), **item}))
    with metered(dynamodb) as alone:
        database.write(put(tables.transient, key, item))
    with metered(dynamodb) as in_transaction:
        database.transact([put(tables.transient, key, {"text": ""})])
    assert (alone.calls, alone.reads, alone.writes) == (1, 0, expected)
    assert in_transaction.writes == 2 * expected  # the larger of the old and the new counts


# The document ------------------------------------------------------------------------------------


async def measure_conversations(
    measure: Measure, stores: Stores, client: "DynamoDBClient", tables: Tables
) -> None:
    scope, store, clock = stores.scope, stores.conversations, stores.clock
    talk = await stored_conversation(stores, client, tables, 100)

    await measure("create", store.create(stores.new(system_prompt=PROMPT, user="new")))
    with_alias = stores.new(system_prompt=PROMPT, alias="6a8c0a9e-0f3b-4d49-8f55-2b1b5f2d8f10")
    await measure("create, with an alias", store.create(with_alias))
    with_metadata = stores.new(system_prompt=PROMPT, user="new", metadata=METADATA)
    await measure("create, with 16 KB of metadata", store.create(with_metadata))
    await measure("find_alias", store.find_alias(scope, with_alias.alias or ""))
    await measure("get", store.get(scope, talk.id))
    await measure("get_with_newest, 20", store.get_with_newest(scope, talk.id, 20))
    await measure("messages, 50", store.messages(talk, first=1, last=50))
    await measure("append_turn", stores.append(talk, TEXT, origin=ORIGIN))
    heavy = await stored_conversation(stores, client, tables, 100, metadata=METADATA)
    await measure(
        "get_with_newest, 20, with 16 KB of metadata", store.get_with_newest(scope, heavy.id, 20)
    )
    await measure("append_turn, with 16 KB of metadata", stores.append(heavy, TEXT))
    pending = Message(
        id=MessageId(talk.id, 102),
        role=Role.ASSISTANT,
        text="",
        status=Status.PENDING,
        created_at=clock.now(),
        model="a-model",
    )
    await measure("stop_requested", store.stop_requested(stores.tenant, pending.id))
    await measure("request_stop", store.request_stop(scope, pending.id))
    await measure("settle", stores.settle(finished(pending, TEXT)))
    await measure("get_message", store.get_message(scope, pending.id))
    await measure("rate", store.rate(scope, pending.id, Rating.LIKE))
    await measure("rename", store.rename(scope, talk.id, "Another title"))
    await measure("see_user", store.see_user(stores.tenant, "alice"))
    await measure("see_user, again", store.see_user(stores.tenant, "alice"))

    long_talk = await stores.begin(user="long")
    _, long_reply = await stores.append(long_talk)
    await measure("settle, 1 MB", stores.settle(finished(long_reply, LONG_TEXT)))
    await measure("messages, 1 of 1 MB", store.messages(long_talk, first=2, last=2))
    await measure("get_message, 1 MB", store.get_message(scope, long_reply.id))
    long_talk = await store.get(scope, long_talk.id)
    await measure("append_turn, 1 MB", stores.append(long_talk, LONG_TEXT))

    for _ in range(30):
        last = await stores.begin(user="alice", system_prompt=PROMPT)
    await measure("list_conversations, 20", store.list_conversations(scope, "alice", limit=20))
    await measure(
        "list_conversations, 20 behind 10",
        store.list_conversations(scope, "alice", limit=20, offset=10),
    )
    await measure(
        "list_conversations, 20 after one",
        store.list_conversations(scope, "alice", limit=20, after=last.id),
    )
    await measure("count_conversations, 30", store.count_conversations(scope, "alice"))
    await measure("delete, 102 messages", store.delete(scope, talk.id))
    await measure("unfinished_deletions", store.unfinished_deletions(scope, "alice"))


async def measure_requests_and_checkpoints(measure: Measure, stores: Stores) -> None:
    """The costs of what a turn leaves while it runs, and of requests that carry a key."""
    store, requests, until = stores.conversations, stores.requests, stores.clock.now()
    once = stores.once("7d9f…")
    await measure("hold", requests.hold(once, until=until))
    await measure("find, new", requests.find(stores.once("new")))
    talk = stores.new(system_prompt=PROMPT, user="new")
    await measure("create, with a key", store.create(talk, once=once))
    await measure("hold, with a conversation", requests.hold(once, until=until))
    await measure("append_turn, with a key", stores.append(talk, TEXT, origin=ORIGIN, once=once))
    await measure("find, of a turn", requests.find(once))
    answered = stores.once("answered")
    await requests.hold(answered, until=until)
    await measure("answered", requests.answered(answered, Answer(200, "application/json", TEXT)))
    held = stores.once("held")
    await requests.hold(held, until=until)
    await measure("release, held", requests.release(held))

    turn = MessageId(talk.id, 2)
    second = [f" word{number:02}" for number in range(60)]  # more than anyone reads in one
    await measure(
        "checkpoint, a sign of life", store.checkpoint(stores.tenant, turn, stores.grown(1, []))
    )
    for number in range(60):
        grown = stores.grown(number + 1, second, shown=number * 60)
        await measure("checkpoint", store.checkpoint(stores.tenant, turn, grown))
    await measure("last_sign", store.last_sign(stores.tenant, turn))
    await measure("checkpoints, 60", store.checkpoints(stores.tenant, turn))
    await measure(
        "checkpoints, the last 2 of 60", store.checkpoints(stores.tenant, turn, after=58 * 60)
    )
    await measure("checkpoints, nothing new", store.checkpoints(stores.tenant, turn, after=3_600))
    _, pending = await store.get_message(stores.scope, turn)
    last = stores.grown(61, second, shown=3_600)
    await measure("settle, with a last checkpoint", stores.settle(finished(pending, TEXT), last))

    reply = stores.completion(origin=ORIGIN)
    await measure("begin_completions, 1", store.begin_completions(stores.scope, [reply]))
    await measure("stop_requested, stateless", store.stop_requested(stores.tenant, reply.id))
    await measure("request_stop, stateless", store.request_stop(stores.scope, reply.id))
    await measure("settle, stateless", stores.settle(finished(reply, TEXT)))
    await measure("get_completion", store.get_completion(stores.scope, reply.id))
    some = [stores.completion(origin=ORIGIN) for _ in range(4)]
    await measure("begin_completions, 3", store.begin_completions(stores.scope, some[:3]))
    once = stores.once("complete")
    await measure(
        "begin_completions, with a key",
        store.begin_completions(stores.scope, some[3:], once=once),
    )


async def measure_live_chats(
    measure: Callable[[str, Awaitable[object]], Awaitable[None]], stores: Stores
) -> None:
    """The costs of connections and of a chat's log."""
    events, chat, at = stores.events, stores.chat, stores.clock.now()
    connection = stores.connection("1")
    piece = ReplyText(MessageId(chat.conversation, 2), TEXT)
    await measure(
        "take_slot, 50",
        stores.connections.take_slot(stores.tenant, connection.id, limit=50, at=at),
    )
    await measure("slots, 1", stores.connections.slots(stores.tenant))
    await measure("register", stores.connections.register(connection))
    await measure("find", stores.connections.find(connection.id))
    await measure("append, first", events.append(chat, piece, at=at))
    last = (await events.append(chat, piece, at=at)).position
    await measure("append", events.append(chat, piece, at=at, behind=last))
    await measure("append, knowing nothing", events.append(chat, piece, at=at))
    await measure("newest", events.newest(chat))
    await measure("has", events.has(chat, last))
    await measure("subscribe", events.subscribe(connection))
    await measure("read, 4 entries and 1 reader", events.read(chat, after=0, limit=200))
    await measure("read, nothing new", events.read(chat, after=last + 2, limit=200))
    await measure("advance", events.advance(chat, connection.id, last))
    await measure("lease", events.lease(chat, "courier", until=at))
    await measure("release", events.release(chat, "courier"))
    await measure("claim", events.claim(stores.tenant, MessageId(chat.conversation, 2)))
    await measure("unsubscribe", events.unsubscribe(chat, connection.id))
    await measure("unregister", stores.connections.unregister(connection.id))
    [slot] = await stores.connections.slots(stores.tenant)
    await measure(
        "free_slot", stores.connections.free_slot(stores.tenant, slot.number, connection.id)
    )


async def measure_holds(
    measure: Measure, stores: Stores, client: "DynamoDBClient", tables: Tables
) -> None:
    """The costs of limits that turns count against, and of the sums of days."""
    store, now = stores.conversations, stores.clock.now()
    money = budget(now)
    held = replace(ORIGIN, holds=(Hold(money, 10**12, 10**15),))
    talk = await stores.begin(system_prompt=PROMPT)
    await store.begin_completions(stores.scope, [stores.completion(origin=held)])
    question = stores.append(talk, TEXT, origin=held)
    await measure("append_turn, with a budget", question)
    _, pending = await store.get_message(stores.scope, MessageId(talk.id, 2))
    await measure("settle, with a budget", stores.settle(finished(pending, TEXT, origin=held)))
    reply = stores.completion(origin=held)
    await measure(
        "begin_completions, with a budget", store.begin_completions(stores.scope, [reply])
    )
    await measure("balance", store.balance(stores.tenant, money))
    later = now + timedelta(seconds=1)
    await measure("holders, 2", store.holders(stores.tenant, before=later))
    await measure("release", store.release(stores.tenant, reply.id, since=reply.created_at))
    ledger = DynamoLedger(Database(client, SystemClock()), tables)
    day = now.date()
    sums = {
        Labels(f"user-{number:02}", "key-1", "openai", "a-model", "a-route"): Sums(turns=1)
        for number in range(50)
    }
    await measure("keep, of 50 users", ledger.keep(stores.tenant, day, sums, version=0))
    await measure("rollups, 1", ledger.rollups(stores.tenant, day, day))


async def measure_completions(measure: Measure, stores: Stores) -> None:
    scope, store = stores.scope, stores.completions

    def new(text: str = TEXT, **fields: Any) -> StoredCompletion:
        stores.clock.advance(1)
        id_ = completion_id()
        reply = Message(
            id=id_,
            role=Role.ASSISTANT,
            text=text,
            status=Status.COMPLETED,
            created_at=stores.clock.now(),
            model="a-model",
        )
        return StoredCompletion(
            id=id_,
            tenant=stores.tenant,
            user="alice",
            created_at=reply.created_at,
            model="a-model",
            messages=(PromptMessage(Role.USER, text),),
            replies=(reply,),
            **fields,
        )

    kept, long = new(), new(LONG_TEXT)
    await measure("keep", store.keep(kept))
    await measure("keep, 2 MB", store.keep(long))
    await measure("get, kept", store.get(scope, kept.id))
    await measure("get, kept of 2 MB", store.get(scope, long.id))
    await measure("label", store.label(scope, kept.id, {"topic": "weather"}))
    await measure("delete, kept", store.delete(scope, kept.id))
    await measure("delete, kept of 2 MB", store.delete(scope, long.id))
    some = [new(metadata={"number": str(number)}) for number in range(30)]
    for each in some:
        await store.keep(each)

    def page(**how: Any) -> Awaitable[object]:
        asked = {"after": None, "newest_first": True, "model": None, "metadata": {}} | how
        return store.list(scope, limit=20, **asked)

    await measure("list, 20", page())
    await measure("list, 20 after one", page(after=some[-1].id))
    await measure("list, 1 of 30 by metadata", page(metadata={"number": "7"}))


async def measure_catalogues(
    measure: Measure, tenant: str, client: "DynamoDBClient", tables: Tables
) -> None:
    store = DynamoCatalogues(Database(client, SystemClock()), tables)
    first, second = demo_catalogue(), demo_catalogue()
    await measure("replace, 200 products for none", store.replace(tenant, first))
    await measure("replace, 200 products", store.replace(tenant, second))
    await measure("head", store.head(tenant))
    await measure("load, 200 products", store.load(tenant))


async def measured(stores: Stores, client: "DynamoDBClient", tables: Tables) -> dict[str, Cost]:
    """The cost of every access pattern, by the name it has in the document."""
    costs: dict[str, Cost] = {}

    async def measure(name: str, operation: Awaitable[object]) -> None:
        costs[name] = await cost_of(client, operation)

    await measure_conversations(measure, stores, client, tables)

    clock = stores.clock
    await measure_requests_and_checkpoints(measure, stores)
    await measure_completions(measure, stores)
    await measure_holds(measure, stores, client, tables)
    await measure_catalogues(measure, stores.tenant, client, tables)

    tenant = Tenant(
        id=stores.tenant,
        created_at=clock.now(),
        models={"wesen-chat-v1": ModelRoute("embedded", "smollm2")},
    )
    key = ApiKey(
        id="key-1",
        tenant=stores.tenant,
        kind=KeyKind.TEST,
        digest=f"{stores.tenant:064}",
        created_at=clock.now(),
    )
    await measure("create_tenant", stores.directory.create_tenant(tenant))
    await measure("change_tenant", stores.directory.change_tenant(replace(tenant, revision=2)))
    await measure("put_key", stores.directory.put_key(key))
    await measure("change_key", stores.directory.change_key(replace(key, revision=2)))
    successor = replace(key, id="key-2", digest=f"{stores.tenant:1>64}")
    rotated = replace(key, replaced_by=successor.id, revision=3)
    await measure("change_key, rotated", stores.directory.change_key(rotated, successor=successor))
    await measure("list_keys, 2", stores.directory.list_keys(stores.tenant))
    await measure("find_key", stores.directory.find_key(key.digest))
    await measure("get_key", stores.directory.get_key(stores.tenant, key.id))
    await measure("get_tenant", stores.directory.get_tenant(tenant.id))

    content = PersonaContent(name="Guide", system_prompt=PROMPT)
    persona = Persona(
        id=1,
        tenant=stores.tenant,
        alias="guide",
        next=content,
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    await measure("create_persona", stores.personas.create_persona(persona))
    persona = persona.edited(content, clock.now())
    await measure("change_persona", stores.personas.change_persona(persona))
    persona, version = persona.submitted(clock.now())
    await measure("change_persona, submitted", stores.personas.change_persona(persona, version))
    await measure("find_persona", stores.personas.find_persona(stores.tenant, "guide"))
    await measure("get_persona", stores.personas.get_persona(stores.tenant, 1))
    await measure("get_persona_version", stores.personas.get_persona_version(stores.tenant, 1, 1))
    await measure("list_personas, 1", stores.personas.list_personas(stores.tenant))

    await measure_live_chats(measure, stores)

    await measure("admit", stores.counter.admit(stores.tenant, limit=1, window=60))
    await measure("admit, refused", stores.counter.admit(stores.tenant, limit=1, window=60))
    return costs


def documented() -> dict[str, Cost]:
    """The costs in the document's tables, whose last columns are calls, reads and writes."""
    costs = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if len(cells) >= 4 and cells[-1].isdecimal():
            calls, reads, writes = (int(cell) for cell in cells[-3:])
            costs[cells[0]] = Cost(calls, reads, writes)
    return costs


async def test_the_document_tells_what_every_access_pattern_costs(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    costs = await measured(ministack_stores, dynamodb, tables)
    assert documented() == costs


@pytest.mark.parametrize(
    "operation",
    [
        lambda stores, talk: stores.append(talk, TEXT),
        lambda stores, talk: stores.conversations.get_with_newest(stores.scope, talk.id, 8),
        lambda stores, talk: stores.conversations.messages(talk, first=3, last=8),
    ],
    ids=["append_turn", "get_with_newest", "messages"],
)
async def test_a_turn_costs_the_same_however_long_the_conversation_is(
    ministack_stores: Stores,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    operation: Callable[[Stores, Conversation], Awaitable[object]],
) -> None:
    costs = []
    for length in (10, 1_000):
        talk = await stored_conversation(ministack_stores, dynamodb, tables, length)
        costs.append(await cost_of(dynamodb, operation(ministack_stores, talk)))
    assert costs[0] == costs[1]


async def test_every_read_is_consistent(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    """No stand-in for DynamoDB ever answers with old data, so the requests are looked at."""
    consistent: list[bool] = []

    def look(params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name in {"GetItem", "Query"}:
            consistent.append(params.get("ConsistentRead", False))
        elif model.name == "BatchGetItem":
            (read,) = params["RequestItems"].values()
            consistent.append(read.get("ConsistentRead", False))

    dynamodb.meta.events.register("provide-client-params.dynamodb", look)
    try:
        await measured(ministack_stores, dynamodb, tables)
    finally:
        dynamodb.meta.events.unregister("provide-client-params.dynamodb", look)
    assert len(consistent) > 10
    assert all(consistent)
