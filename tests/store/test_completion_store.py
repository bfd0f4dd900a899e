"""What a `ConversationStore` promises of stateless completions."""

from dataclasses import replace

import pytest

from parley.domain.conversations import Message, Role, Scope, Status
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import MessageId
from tests.support.stores import Stores, completion_id, finished

pytestmark = pytest.mark.anyio

DAY = 86_400


def pending(stores: Stores) -> Message:
    return Message(
        id=completion_id(),
        role=Role.ASSISTANT,
        text="",
        status=Status.PENDING,
        created_at=stores.clock.now(),
        model="a-model",
    )


async def begin(stores: Stores, scope: Scope | None = None) -> Message:
    reply = pending(stores)
    await stores.conversations.begin_completion(scope or stores.scope, reply)
    return reply


async def settle(stores: Stores, reply: Message) -> bool:
    return await stores.conversations.settle_completion(reply, stores.record(reply))


async def test_a_completion_is_read_from_its_beginning_on(stores: Stores) -> None:
    reply = await begin(stores)
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


@pytest.mark.parametrize("text", ["", "Hi!", "ሰ🍲" * 150_000], ids=["empty", "short", "1 MB"])
async def test_a_settled_completion_is_read_in_its_final_form(stores: Stores, text: str) -> None:
    reply = finished(await begin(stores), text)
    assert await settle(stores, reply)
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply
    assert stores.settled(stores.tenant) == [reply.id.number]


async def test_a_completion_is_settled_once(stores: Stores) -> None:
    reply = await begin(stores)
    assert await settle(stores, finished(reply, "first"))
    assert not await settle(stores, finished(reply, "second"))
    read = await stores.conversations.get_completion(stores.scope, reply.id)
    assert read.text == "first"
    assert stores.settled(stores.tenant) == [reply.id.number]


async def test_what_never_began_is_not_settled(stores: Stores) -> None:
    assert not await settle(stores, finished(pending(stores), "text"))
    assert stores.settled(stores.tenant) == []


async def test_a_taken_id_is_refused(stores: Stores) -> None:
    reply = await begin(stores)
    stores.clock.advance(0.001)
    with pytest.raises(Conflict):
        await stores.conversations.begin_completion(
            stores.scope, replace(reply, created_at=stores.clock.now())
        )
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


async def test_beginning_the_same_twice_is_beginning_once(stores: Stores) -> None:
    reply = await begin(stores)
    await stores.conversations.begin_completion(stores.scope, reply)
    with pytest.raises(Conflict):
        await stores.conversations.begin_completion(Scope(stores.tenant, "mallory"), reply)


async def test_a_completion_expires_a_day_after_it_was_settled(stores: Stores) -> None:
    reply = await begin(stores)
    stores.clock.advance(DAY - 1)
    assert await settle(stores, finished(reply, "Hi!"))
    stores.clock.advance(DAY - 1)
    await stores.conversations.get_completion(stores.scope, reply.id)
    stores.clock.advance(1)
    with pytest.raises(NotFound, match=r"^No such completion\.$"):
        await stores.conversations.get_completion(stores.scope, reply.id)


async def test_an_unsettled_completion_expires_a_day_after_it_began(stores: Stores) -> None:
    reply = await begin(stores)
    stores.clock.advance(DAY)
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, reply.id)


async def test_what_is_out_of_scope_reads_like_what_does_not_exist(stores: Stores) -> None:
    alice = Scope(stores.tenant, "alice")
    theirs = await begin(stores, alice)
    unowned = await begin(stores)
    other = Scope(stores.tenant + "-other")
    mallory = Scope(stores.tenant, "mallory")
    for scope, id_ in [
        (other, theirs.id),
        (mallory, theirs.id),
        (mallory, unowned.id),
        (stores.scope, completion_id()),
        (stores.scope, MessageId.parse("no such id")),
    ]:
        with pytest.raises(NotFound, match=r"^No such completion\.$"):
            await stores.conversations.get_completion(scope, id_)
    for scope in (alice, stores.scope):
        assert await stores.conversations.get_completion(scope, theirs.id) == theirs
    assert await settle(stores, finished(theirs, "Hi!"))
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(mallory, theirs.id)
