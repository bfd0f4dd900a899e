"""What a `ConversationStore` promises of single messages: to read, rate and stop them."""

from collections.abc import Awaitable

import pytest

from parley.domain.conversations import Message, Rating, Scope
from parley.domain.errors import NotFound
from parley.domain.ids import MAX_SEQUENCE, NEVER_ISSUED, ConversationId, MessageId
from tests.support.stores import Stores, finished

pytestmark = pytest.mark.anyio

PRODUCTS = (12, 2**53 - 1, 7)


async def read(stores: Stores, message: MessageId) -> Message:
    _, found = await stores.conversations.get_message(stores.scope, message)
    return found


async def is_refused(attempt: Awaitable[object]) -> None:
    with pytest.raises(NotFound) as refused:
        await attempt
    assert type(refused.value) is NotFound
    assert refused.value.message == "No such message."
    assert refused.value.param is None


def out_of_scope(stores: Stores, mine: MessageId) -> list[tuple[Scope, MessageId]]:
    return [
        (Scope(stores.tenant + "-other"), mine),
        (Scope(stores.tenant, "mallory"), mine),
        *(
            (stores.scope, MessageId(conversation, sequence))
            for conversation, sequence in [
                (mine.conversation, 0),
                (mine.conversation, 3),
                (mine.conversation, MAX_SEQUENCE),
                (ConversationId(1 << 32), 2),
                (ConversationId(NEVER_ISSUED), NEVER_ISSUED),
            ]
        ),
    ]


# Reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [5, 400_000])
@pytest.mark.parametrize(
    "prompt", [None, "Be brief.", "p" * 400_000], ids=["none", "short", "long"]
)
async def test_a_message_is_read_with_its_conversation(
    stores: Stores, length: int, prompt: str | None
) -> None:
    conversation = await stores.begin(system_prompt=prompt, user="alice", title="T")
    await stores.take_turn(conversation)
    user, reply = await stores.take_turn(conversation, "q" * length, "a" * length)
    head = await stores.conversations.get(stores.scope, conversation.id)
    for scope in (stores.scope, Scope(stores.tenant, "alice")):
        for message in (user, reply):
            found = await stores.conversations.get_message(scope, message.id)
            assert found == (head, message)


async def test_no_message_out_of_scope_is_read(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    _, reply = await stores.take_turn(conversation)
    for scope, message in out_of_scope(stores, reply.id):
        await is_refused(stores.conversations.get_message(scope, message))


# Products ----------------------------------------------------------------------------------------


async def test_products_stay_with_the_reply(stores: Stores) -> None:
    conversation = await stores.begin()
    user, pending = await stores.append(conversation, product_ids=PRODUCTS)
    assert (user.product_ids, pending.product_ids) == ((), PRODUCTS)
    assert await read(stores, pending.id) == pending
    assert await stores.settle(finished(pending, "Look at these."))
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 2)
    assert newest == (user, finished(pending, "Look at these.", product_ids=PRODUCTS))
    assert await stores.conversations.messages(head, first=1, last=2) == newest


# Ratings -----------------------------------------------------------------------------------------


async def test_a_reply_is_rated_and_the_rating_taken_back(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    _, reply = await stores.take_turn(conversation, answer="a" * 400_000)
    before = await stores.conversations.get(stores.scope, conversation.id)
    alice = Scope(stores.tenant, "alice")
    for rating in (None, Rating.LIKE, Rating.DISLIKE, Rating.DISLIKE, None, None):
        await stores.conversations.rate(alice, reply.id, rating)
        found = await read(stores, reply.id)
        assert (found.rating, found.text) == (rating, reply.text)
        _, (newest,) = await stores.conversations.get_with_newest(alice, conversation.id, 1)
        assert newest == found
    assert await stores.conversations.get(stores.scope, conversation.id) == before


async def test_settling_keeps_what_happened_to_the_reply_meanwhile(stores: Stores) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation, product_ids=PRODUCTS)
    await stores.conversations.rate(stores.scope, pending.id, Rating.LIKE)
    assert await stores.settle(finished(pending, "Hi!"))
    expected = finished(pending, "Hi!", product_ids=PRODUCTS, rating=Rating.LIKE)
    assert await read(stores, pending.id) == expected


async def test_only_replies_in_scope_are_rated(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    user, reply = await stores.take_turn(conversation)
    for scope, message in [*out_of_scope(stores, reply.id), (stores.scope, user.id)]:
        for rating in (Rating.DISLIKE, None):
            await is_refused(stores.conversations.rate(scope, message, rating))
    assert await read(stores, user.id) == user
    assert await read(stores, reply.id) == reply


# Stopping ----------------------------------------------------------------------------------------


async def test_a_turn_is_to_stop_once_someone_asked_for_it(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    _, other = await stores.append(conversation)
    _, pending = await stores.append(conversation)
    store = stores.conversations
    assert not await store.stop_requested(stores.tenant, pending.id)
    for _ in range(2):
        await store.request_stop(Scope(stores.tenant, "alice"), pending.id)
        assert await store.stop_requested(stores.tenant, pending.id)
    assert not await store.stop_requested(stores.tenant, other.id)
    assert await read(stores, pending.id) == pending
    assert await stores.settle(finished(pending, "So far"))
    assert await read(stores, pending.id) == finished(pending, "So far")


async def test_a_turn_that_has_ended_is_left_as_it_is(stores: Stores) -> None:
    conversation = await stores.begin()
    _, reply = await stores.take_turn(conversation)
    await stores.conversations.request_stop(stores.scope, reply.id)
    assert await read(stores, reply.id) == reply


async def test_whoever_runs_a_turn_that_another_has_settled_is_to_stop(stores: Stores) -> None:
    conversation = await stores.begin()
    _, reply = await stores.take_turn(conversation)
    assert await stores.conversations.stop_requested(stores.tenant, reply.id)


async def test_only_turns_in_scope_are_stopped(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    user, pending = await stores.append(conversation)
    for scope, message in [*out_of_scope(stores, pending.id), (stores.scope, user.id)]:
        await is_refused(stores.conversations.request_stop(scope, message))
    assert not await stores.conversations.stop_requested(stores.tenant, pending.id)
    other = stores.tenant + "-other"
    assert await stores.conversations.stop_requested(other, pending.id)
    missing = MessageId(conversation.id, 4)
    assert await stores.conversations.stop_requested(stores.tenant, missing)
