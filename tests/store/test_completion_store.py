"""What a `ConversationStore` promises of stateless completions."""

from dataclasses import replace

import pytest

from parley.domain.conversations import Origin, Scope, Status
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import MessageId
from tests.support.stores import Stores, completion_id, finished

pytestmark = pytest.mark.anyio

DAY = 86_400


async def test_a_completion_is_read_from_its_beginning_on(stores: Stores) -> None:
    reply = await stores.begin_completion()
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


@pytest.mark.parametrize("text", ["", "Hi!", "ሰ🍲" * 150_000], ids=["empty", "short", "1 MB"])
async def test_a_settled_completion_is_read_in_its_final_form(stores: Stores, text: str) -> None:
    reply = finished(await stores.begin_completion(), text)
    assert await stores.settle(reply)
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply
    assert stores.settled(stores.tenant) == [reply.id.number]


async def test_a_completion_is_settled_once(stores: Stores) -> None:
    reply = await stores.begin_completion()
    assert await stores.settle(finished(reply, "first"))
    assert not await stores.settle(finished(reply, "second"))
    read = await stores.conversations.get_completion(stores.scope, reply.id)
    assert read.text == "first"
    assert stores.settled(stores.tenant) == [reply.id.number]


@pytest.mark.parametrize("text", ["Hi!", "ሰ🍲" * 150_000], ids=["short", "1 MB"])
async def test_what_never_began_is_counted_once_and_not_kept(stores: Stores, text: str) -> None:
    reply = finished(stores.completion(), text)
    assert [await stores.settle(reply) for _ in range(2)] == [False, False]
    assert stores.settled(stores.tenant) == [reply.id.number]
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, reply.id)


async def test_what_may_have_been_counted_long_ago_is_not_counted_again(stores: Stores) -> None:
    pending = stores.completion()
    stores.clock.advance(DAY)
    assert not await stores.settle(finished(pending, "Hi!"))
    assert stores.settled(stores.tenant) == []


async def test_a_taken_id_is_refused(stores: Stores) -> None:
    reply = await stores.begin_completion()
    stores.clock.advance(0.001)
    with pytest.raises(Conflict):
        await stores.conversations.begin_completions(
            stores.scope, [replace(reply, created_at=stores.clock.now())]
        )
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


async def test_beginning_the_same_twice_is_beginning_once(stores: Stores) -> None:
    reply = await stores.begin_completion()
    await stores.conversations.begin_completions(stores.scope, [reply])
    with pytest.raises(Conflict):
        await stores.conversations.begin_completions(Scope(stores.tenant, "mallory"), [reply])


async def test_a_completion_expires_a_day_after_it_was_settled(stores: Stores) -> None:
    reply = await stores.begin_completion()
    stores.clock.advance(DAY - 1)
    assert await stores.settle(finished(reply, "Hi!"))
    stores.clock.advance(DAY - 1)
    await stores.conversations.get_completion(stores.scope, reply.id)
    stores.clock.advance(1)
    with pytest.raises(NotFound, match=r"^No such completion\.$"):
        await stores.conversations.get_completion(stores.scope, reply.id)


async def test_an_unsettled_completion_expires_a_day_after_it_began(stores: Stores) -> None:
    reply = await stores.begin_completion()
    stores.clock.advance(DAY)
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, reply.id)


async def test_what_is_out_of_scope_reads_like_what_does_not_exist(stores: Stores) -> None:
    alice = Scope(stores.tenant, "alice")
    theirs = await stores.begin_completion(alice)
    unowned = await stores.begin_completion()
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
    assert await stores.settle(finished(theirs, "Hi!"))
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(mallory, theirs.id)


# Several at once ---------------------------------------------------------------------------------


async def test_several_begin_together(stores: Stores) -> None:
    replies = [stores.completion() for _ in range(3)]
    await stores.conversations.begin_completions(stores.scope, replies)
    for reply in replies:
        assert await stores.conversations.get_completion(stores.scope, reply.id) == reply
        assert await stores.settle(finished(reply, "Hi!"))


async def test_of_several_none_begins_where_one_may_not(stores: Stores) -> None:
    taken = await stores.begin_completion()
    free = stores.completion()
    for together in ([free, taken], [taken, free], [free, replace(taken, model="another")]):
        with pytest.raises(Conflict):
            await stores.conversations.begin_completions(stores.scope, together)
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, free.id)
    assert await stores.conversations.get_completion(stores.scope, taken.id) == taken


# Where it came from, how it ended ----------------------------------------------------------------


async def test_a_completion_keeps_who_asked_and_how_it_ended(stores: Stores) -> None:
    origin = Origin(dialect="openai", key_id="key-1", user="alice", telling={"n": 2, "at": [1.5]})
    pending = stores.completion(origin=origin)
    await stores.conversations.begin_completions(stores.scope, [pending])
    assert await stores.conversations.get_completion(stores.scope, pending.id) == pending
    stores.clock.advance(2.5)
    how = {
        "status": Status.FAILED,
        "error": "model_error",
        "error_message": "The model failed.",
        "ended_at": stores.clock.now(),
    }
    assert await stores.settle(finished(pending, "So far", **how))
    read = await stores.conversations.get_completion(stores.scope, pending.id)
    assert read == finished(pending, "So far", origin=origin, **how)


# Stopping ----------------------------------------------------------------------------------------


async def test_a_completion_is_to_stop_once_someone_asked_for_it(stores: Stores) -> None:
    alice = Scope(stores.tenant, "alice")
    reply, other = await stores.begin_completion(alice), await stores.begin_completion(alice)
    store = stores.conversations
    assert not await store.stop_requested(stores.tenant, reply.id)
    for scope in (alice, stores.scope):
        await store.request_stop(scope, reply.id)
        assert await store.stop_requested(stores.tenant, reply.id)
    assert not await store.stop_requested(stores.tenant, other.id)
    assert await store.get_completion(alice, reply.id) == reply
    assert await stores.settle(finished(reply, "So far", status=Status.STOPPED))
    await store.request_stop(alice, reply.id)
    assert (await store.get_completion(alice, reply.id)).text == "So far"


async def test_a_completion_that_has_ended_or_never_began_is_to_stop(stores: Stores) -> None:
    reply = await stores.begin_completion()
    assert await stores.settle(finished(reply, "Hi!"))
    assert await stores.conversations.stop_requested(stores.tenant, reply.id)
    assert await stores.conversations.stop_requested(stores.tenant, completion_id())


async def test_only_completions_in_scope_are_stopped(stores: Stores) -> None:
    theirs = await stores.begin_completion(Scope(stores.tenant, "alice"))
    unowned = await stores.begin_completion()
    mallory = Scope(stores.tenant, "mallory")
    for scope, id_ in [
        (Scope(stores.tenant + "-other"), theirs.id),
        (mallory, theirs.id),
        (mallory, unowned.id),
        (stores.scope, completion_id()),
    ]:
        with pytest.raises(NotFound, match=r"^No such message\.$"):
            await stores.conversations.request_stop(scope, id_)
    assert not await stores.conversations.stop_requested(stores.tenant, theirs.id)
    assert await stores.settle(finished(theirs, "Hi!"))
    with pytest.raises(NotFound):
        await stores.conversations.request_stop(mallory, theirs.id)


async def test_a_completion_that_has_expired_is_not_stopped(stores: Stores) -> None:
    reply = await stores.begin_completion()
    stores.clock.advance(DAY)
    with pytest.raises(NotFound):
        await stores.conversations.request_stop(stores.scope, reply.id)
