"""What a `ConversationStore` promises of deletion."""

from typing import TYPE_CHECKING, Any

import pytest

from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import Database, Tables
from parley.domain.conversations import Conversation, Message, Page, Rating, Role, Scope, Status
from parley.domain.errors import NotFound
from parley.domain.ids import MessageId
from tests.support.clock import ManualClock
from tests.support.stores import Stores, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

PROMPT = "Be brief. " * 40_000


async def test_a_deleted_conversation_is_gone_for_every_operation(stores: Stores) -> None:
    conversation = await stores.begin(system_prompt=PROMPT, alias="foreign")
    _, reply = await stores.take_turn(conversation, "q" * 400_000, "a" * 400_000)
    _, pending = await stores.append(conversation)
    outdated = await stores.conversations.get(stores.scope, conversation.id)

    store = stores.conversations
    await store.delete(stores.scope, conversation.id)

    for attempt in (
        store.get(stores.scope, conversation.id),
        store.get_with_newest(stores.scope, conversation.id, 5),
        store.messages(outdated, first=1, last=4),
        store.append_turn(outdated, text="Hello?", model="m", at=stores.clock.now()),
        store.rename(stores.scope, conversation.id, "too late"),
        store.delete(stores.scope, conversation.id),
    ):
        with pytest.raises(NotFound, match=r"^No such conversation\.$"):
            await attempt
    for touch in (
        store.get_message(stores.scope, reply.id),
        store.rate(stores.scope, reply.id, Rating.LIKE),
        store.request_stop(stores.scope, pending.id),
    ):
        with pytest.raises(NotFound, match=r"^No such message\.$"):
            await touch
    assert await store.stop_requested(stores.tenant, pending.id)
    assert await store.find_alias(stores.scope, "foreign") is None
    assert not await stores.settle(finished(pending, "too late"))
    assert not await stores.settle(finished(pending, "too late" * 100_000))
    page = await store.list_conversations(stores.scope, conversation.user, limit=5)
    assert page == Page((), has_more=False)
    assert await store.count_conversations(stores.scope, conversation.user) == 0


async def test_an_id_and_an_alias_are_free_again_after_deletion(stores: Stores) -> None:
    first = await stores.begin(alias="foreign")
    _, pending = await stores.append(first)
    await stores.conversations.request_stop(stores.scope, pending.id)
    await stores.conversations.delete(stores.scope, first.id)
    again = await stores.begin(id=first.id, alias="foreign")
    await stores.append(again)
    assert await stores.conversations.find_alias(stores.scope, "foreign") == again.id
    assert not await stores.conversations.stop_requested(stores.tenant, pending.id)


async def test_deletion_touches_no_other_conversation(stores: Stores) -> None:
    doomed = await stores.begin()
    same_user = await stores.begin(system_prompt="Be brief.", alias="foreign")
    namesake = await stores.begin(id=doomed.id, tenant=stores.tenant + "-other")
    await stores.take_turn(doomed)
    await stores.take_turn(same_user)
    await stores.conversations.delete(stores.scope, doomed.id)
    head, newest = await stores.conversations.get_with_newest(stores.scope, same_user.id, 9)
    assert (head.message_count, len(newest)) == (2, 2)
    assert await stores.conversations.find_alias(stores.scope, "foreign") == same_user.id
    assert await stores.conversations.get(Scope(namesake.tenant), namesake.id) == namesake


async def test_the_ledger_outlives_the_conversation(stores: Stores) -> None:
    conversation = await stores.begin()
    _, reply = await stores.take_turn(conversation)
    await stores.conversations.delete(stores.scope, conversation.id)
    assert stores.settled(stores.tenant) == [reply.id.number]


async def test_a_user_deletes_only_their_own(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    with pytest.raises(NotFound):
        await stores.conversations.delete(Scope(stores.tenant, "mallory"), conversation.id)
    await stores.conversations.delete(Scope(stores.tenant, "alice"), conversation.id)
    with pytest.raises(NotFound):
        await stores.conversations.get(stores.scope, conversation.id)


# On DynamoDB, where deletion takes many writes ---------------------------------------------------


class Interruption(Exception):
    """The process dies, as far as the test is concerned."""


def leftovers(client: "DynamoDBClient", tables: Tables, conversation: Conversation) -> int:
    """How many items there are of a conversation, of its user's list, and of its alias."""
    database = Database(client, ManualClock())
    alias = keys.alias(conversation.tenant, conversation.alias or "")
    return sum(
        database.count(tables.conversations, within)
        for within in (
            keys.everything(conversation.tenant, conversation.id),
            keys.list_of(conversation.tenant, conversation.user),
            keys.Range(alias.pk, alias.sk, alias.sk),
        )
    )


async def test_deletion_leaves_nothing_behind(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    stores = ministack_stores
    conversation = await stores.begin(system_prompt=PROMPT, alias="foreign")
    await stores.take_turn(conversation, "q" * 400_000, "a" * 400_000)
    _, pending = await stores.append(conversation)
    assert leftovers(dynamodb, tables, conversation) == 14
    await stores.conversations.delete(stores.scope, conversation.id)
    assert not await stores.settle(finished(pending, "too late" * 100_000))
    assert leftovers(dynamodb, tables, conversation) == 0


async def test_ten_thousand_messages_are_deleted(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    stores = ministack_stores
    conversation = await stores.begin(message_count=10_000)
    rows = (
        Message(
            id=MessageId(conversation.id, sequence),
            role=Role.USER,
            text="x" * 200,
            status=Status.COMPLETED,
            created_at=stores.clock.now(),
        )
        for sequence in range(1, 10_001)
    )
    Database(dynamodb, stores.clock).put_many(
        tables.conversations,
        (
            (keys.message(stores.tenant, row.id), {**items.from_message(row), "text": row.text})
            for row in rows
        ),
    )
    page = await stores.conversations.messages(conversation, first=5_000, last=9_999)
    assert [message.id.sequence for message in page] == list(range(5_000, 10_000))

    await stores.conversations.delete(stores.scope, conversation.id)
    assert leftovers(dynamodb, tables, conversation) == 0


@pytest.mark.parametrize(
    ("operation", "calls_before"), [("Query", 0), ("BatchWriteItem", 0), ("TransactWriteItems", 1)]
)
async def test_an_interrupted_deletion_is_invisible_and_can_be_finished(
    ministack_stores: Stores,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    operation: str,
    calls_before: int,
) -> None:
    stores = ministack_stores
    conversation = await stores.begin(system_prompt="Be brief.", alias="foreign")
    for _ in range(3):
        _, pending = await stores.append(conversation)
    latest = await stores.conversations.get(stores.scope, conversation.id)
    calls = iter(range(calls_before))

    def die(**_: Any) -> None:
        if next(calls, None) is None:
            raise Interruption

    event = f"before-call.dynamodb.{operation}"
    dynamodb.meta.events.register(event, die)
    try:
        with pytest.raises(Interruption):
            await stores.conversations.delete(stores.scope, conversation.id)
    finally:
        dynamodb.meta.events.unregister(event, die)

    assert leftovers(dynamodb, tables, conversation) > 0
    for attempt in (
        stores.conversations.get(stores.scope, conversation.id),
        stores.conversations.get_with_newest(stores.scope, conversation.id, 9),
        stores.conversations.rename(stores.scope, conversation.id, "too late"),
        stores.append(conversation),
        stores.append(latest),
    ):
        with pytest.raises(NotFound, match=r"^No such conversation\.$"):
            await attempt
    for touch in (
        stores.conversations.get_message(stores.scope, pending.id),
        stores.conversations.rate(stores.scope, pending.id, Rating.LIKE),
        stores.conversations.request_stop(stores.scope, pending.id),
    ):
        with pytest.raises(NotFound, match=r"^No such message\.$"):
            await touch
    assert await stores.conversations.find_alias(stores.scope, "foreign") is None
    await stores.settle(finished(pending, "too late"))
    assert await stores.conversations.count_conversations(stores.scope, conversation.user) == 0

    with pytest.raises(NotFound):
        await stores.conversations.delete(Scope(stores.tenant, "mallory"), conversation.id)
    await stores.conversations.delete(stores.scope, conversation.id)
    assert leftovers(dynamodb, tables, conversation) == 0
    with pytest.raises(NotFound):
        await stores.conversations.delete(stores.scope, conversation.id)
