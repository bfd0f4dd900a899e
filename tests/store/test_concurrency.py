"""What the stores promise to callers at the same time, each with a thread of its own."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import anyio
import pytest

from parley.adapters.dynamodb.client import Tables
from parley.domain.conversations import Conversation, Message, Rating, Role, Status
from parley.domain.errors import Conflict, NotFound, TurnInProgress
from parley.domain.once import Done, Repeated
from parley.domain.tools import ToolResult
from parley.domain.turns import Checkpoint
from tests.support.stores import Stores, finished, on_dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")


def at_once(callers: int, call: Callable[[int], Awaitable[T]]) -> list[T]:
    """What `callers` threads get that make the same call, each with its own number."""

    async def one(number: int) -> T:
        return await call(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(lambda number: anyio.run(one, number), range(callers)))


def begin(stores: Stores) -> Conversation:
    async def call() -> Conversation:
        return await stores.begin()

    return anyio.run(call)


def read(stores: Stores, conversation: Conversation) -> tuple[Conversation, tuple[Message, ...]]:
    async def call() -> tuple[Conversation, tuple[Message, ...]]:
        head = await stores.conversations.get(stores.scope, conversation.id)
        return head, await stores.conversations.messages(head, first=1, last=head.message_count)

    return anyio.run(call)


def test_two_turns_at_once_are_both_kept(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def take_turn(number: int) -> tuple[Message, Message]:
        return await stores.take_turn(conversation, f"question {number}", f"answer {number}")

    turns = at_once(2, take_turn)
    head, messages = read(stores, conversation)
    assert head.message_count == 4
    assert sorted(turns, key=lambda turn: turn[0].id) == [messages[:2], messages[2:]]


def test_many_callers_turns_end_gap_free_in_adjacent_pairs(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)
    callers, turns = 32, 20

    async def take_turns(caller: int) -> list[tuple[Message, Message]]:
        return [
            await stores.take_turn(conversation, f"{caller}/{turn}", f"re {caller}/{turn}")
            for turn in range(turns)
        ]

    taken = [turn for turns_of_one in at_once(callers, take_turns) for turn in turns_of_one]
    head, messages = read(stores, conversation)
    assert head.message_count == len(messages) == 2 * callers * turns
    assert [message.id.sequence for message in messages] == list(range(1, len(messages) + 1))
    assert sorted(taken, key=lambda turn: turn[0].id) == list(
        zip(messages[::2], messages[1::2], strict=True)
    )
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert (question.role, answer.role) == (Role.USER, Role.ASSISTANT)
        assert answer.text == f"re {question.text}"
        assert answer.status is Status.COMPLETED
    assert stores.settled(stores.tenant) == [answer.id.number for answer in messages[1::2]]


def test_one_of_many_gives_the_results_of_a_call(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def give(caller: int) -> bool:
        try:
            await stores.append(conversation, "", tool_results=(ToolResult("a", f"{caller}"),))
        except Conflict:
            return False
        return True

    given = at_once(8, give)
    assert sorted(given) == [False] * 7 + [True]
    _, (said, _) = read(stores, conversation)
    assert said.tool_results == (ToolResult("a", f"{given.index(True)}"),)


def test_callers_in_processes_of_their_own_end_gap_free_too(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    """Those of one process stand in line; each of these has a line to itself, and they collide."""
    conversation = begin(ministack_stores)

    async def take_turns(caller: int) -> list[Message]:
        alone = on_dynamodb(dynamodb, tables, ministack_stores.clock)
        alone.tenant = ministack_stores.tenant
        return [(await alone.append(conversation, f"{caller}/{turn}"))[1] for turn in range(5)]

    replies = [reply for some in at_once(6, take_turns) for reply in some]
    _, messages = read(ministack_stores, conversation)
    assert [message.id.sequence for message in messages] == list(range(1, 61))
    assert sorted(replies, key=lambda reply: reply.id) == list(messages[1::2])


def test_readers_never_see_half_a_turn(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def write_or_look(number: int) -> None:
        for _ in range(10):
            if number % 2:
                await stores.append(conversation)
            head, newest = await stores.conversations.get_with_newest(
                stores.scope, conversation.id, 6
            )
            numbers = [message.id.sequence for message in newest]
            assert head.message_count % 2 == 0
            assert numbers == list(
                range(max(head.message_count - 6, 0) + 1, head.message_count + 1)
            )

    at_once(8, write_or_look)


def test_one_of_many_settles(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append() -> Message:
        _, pending = await stores.append(conversation)
        return pending

    pending = anyio.run(append)
    # Half of the texts need parts: whoever comes second must not touch those of the first.
    texts = [f"{caller}" * (1 if caller % 2 else 400_000) for caller in range(8)]

    async def settle(caller: int) -> bool:
        return await stores.settle(finished(pending, texts[caller]))

    settled = at_once(len(texts), settle)
    assert sorted(settled) == [False] * (len(texts) - 1) + [True]
    _, messages = read(stores, conversation)
    assert messages[1].text == texts[settled.index(True)]
    assert stores.settled(stores.tenant) == [pending.id.number]


def test_one_of_many_gets_an_id(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    wanted = stores.new()

    async def create(caller: int) -> bool:
        try:
            await stores.begin(id=wanted.id, user=f"user-{caller}")
        except Conflict:
            return False
        return True

    created = at_once(8, create)
    assert sorted(created) == [False] * 7 + [True]
    head, _ = read(stores, wanted)
    assert head.user == f"user-{created.index(True)}"


def test_one_of_many_gets_an_alias(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    async def create(caller: int) -> bool:
        try:
            await stores.begin(alias="foreign", user=f"user-{caller}")
        except Conflict:
            return False
        return True

    assert sorted(at_once(8, create)) == [False] * 7 + [True]


def test_a_user_is_new_to_one_of_many(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    async def see(_: int) -> bool:
        return await stores.conversations.see_user(stores.tenant, "alice")

    assert sorted(at_once(16, see)) == [False] * 15 + [True]


def test_nothing_that_happens_to_a_reply_at_once_is_lost(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append() -> Message:
        _, pending = await stores.append(conversation, product_ids=(3, 1))
        return pending

    for _ in range(5):
        pending = anyio.run(append)

        async def change(caller: int, pending: Message = pending) -> None:
            match caller:
                case 0:
                    assert await stores.settle(finished(pending, "Hi!"))
                case 1:
                    await stores.conversations.rate(stores.scope, pending.id, Rating.LIKE)
                case 2:
                    await stores.conversations.request_stop(stores.scope, pending.id)
                case 3:
                    await stores.conversations.rename(stores.scope, conversation.id, "T")
                case 4:
                    await stores.append(conversation)

        at_once(5, change)
        head, messages = read(stores, conversation)
        expected = finished(pending, "Hi!", product_ids=(3, 1), rating=Rating.LIKE)
        assert messages[pending.id.sequence - 1] == expected
        assert (head.title, head.message_count) == ("T", pending.id.sequence + 2)


def test_turns_during_deletion_are_refused_or_deleted(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append_until_refused_or_delete(caller: int) -> None:
        if caller == 0:
            for _ in range(3):
                await stores.append(conversation)
            await stores.conversations.delete(stores.scope, conversation.id)
            return
        while True:
            try:
                _, pending = await stores.append(conversation)
            except NotFound:
                return
            await stores.settle(finished(pending, "Hi!"))

    at_once(4, append_until_refused_or_delete)
    with pytest.raises(NotFound):
        read(stores, conversation)


def test_deleting_at_once_is_deleting(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append(_: int) -> None:
        await stores.append(conversation)

    at_once(10, append)

    async def delete(_: int) -> bool:
        try:
            await stores.conversations.delete(stores.scope, conversation.id)
        except NotFound:
            return False
        return True

    assert any(at_once(4, delete))
    with pytest.raises(NotFound):
        read(stores, conversation)


def test_completions_settle_once(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    pending = anyio.run(stores.begin_completion)

    async def settle(caller: int) -> bool:
        return await stores.settle(finished(pending, f"answer {caller}"))

    settled = at_once(8, settle)
    assert sorted(settled) == [False] * 7 + [True]


# The same request at once ------------------------------------------------------------------------


def known_of(stores: Stores) -> Done:
    async def find() -> Done | None:
        return await stores.requests.find(stores.once())

    known = anyio.run(find)
    assert known is not None
    return known


def one_of_all(outcomes: list[T | Done]) -> T:
    """What one caller got, where all others were told that he had come before them."""
    (first,) = (outcome for outcome in outcomes if not isinstance(outcome, Done))
    return first


def test_a_request_that_comes_often_at_once_begins_one_turn(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append(caller: int) -> Message | Done:
        if caller % 2:  # the others make it hard to tell a repetition from a collision
            _, reply = await stores.append(conversation, once=stores.once(f"key-{caller}"))
            return Done(fingerprint="another's", turns=(reply.id,))
        try:
            _, reply = await stores.append(conversation, once=stores.once())
        except Repeated as repeated:
            return repeated.done
        return reply

    outcomes = at_once(16, append)
    reply = one_of_all(outcomes)
    done = Done(fingerprint="asked", conversation=conversation.id, turns=(reply.id,))
    assert outcomes[::2].count(done) == 7
    head, messages = read(stores, conversation)
    assert head.message_count == len(messages) == 2 * 9
    assert known_of(stores) == done


def test_a_request_that_comes_often_at_once_begins_one_conversation(
    threadsafe_stores: Stores,
) -> None:
    stores = threadsafe_stores

    async def create(_: int) -> Conversation | Done:
        conversation = stores.new()
        try:
            await stores.conversations.create(conversation, once=stores.once())
        except Repeated as repeated:
            return repeated.done
        return conversation

    outcomes = at_once(8, create)
    conversation = one_of_all(outcomes)
    assert outcomes.count(Done(fingerprint="asked", conversation=conversation.id)) == 7
    assert known_of(stores).conversation == conversation.id

    async def count() -> int:
        return await stores.conversations.count_conversations(stores.scope, conversation.user)

    assert anyio.run(count) == 1


def test_a_request_that_comes_often_at_once_begins_its_completions_once(
    threadsafe_stores: Stores,
) -> None:
    stores = threadsafe_stores

    async def begin(_: int) -> tuple[Message, ...] | Done:
        replies = tuple(stores.completion() for _ in range(3))
        try:
            await stores.conversations.begin_completions(stores.scope, replies, once=stores.once())
        except Repeated as repeated:
            return repeated.done
        return replies

    outcomes = at_once(8, begin)
    replies = one_of_all(outcomes)
    done = Done(fingerprint="asked", turns=tuple(reply.id for reply in replies))
    assert outcomes.count(done) == 7


def test_one_of_many_answers_a_request(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    until = stores.clock.now() + timedelta(seconds=30)

    async def hold(_: int) -> Done | None:
        return await stores.requests.hold(stores.once(), until=until)

    for _ in range(2):
        outcomes = at_once(16, hold)
        assert outcomes.count(None) == 1
        assert outcomes.count(known_of(stores)) == 15
        stores.clock.advance(30)
        until = stores.clock.now() + timedelta(seconds=30)


def test_one_of_many_goes_on_with_what_was_begun(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    async def create() -> None:
        await stores.conversations.create(stores.new(), once=stores.once())

    async def hold(_: int) -> Done | None:
        until = stores.clock.now() + timedelta(seconds=30)
        return await stores.requests.hold(stores.once(), until=until)

    anyio.run(create)
    outcomes = at_once(16, hold)
    assert outcomes.count(None) == 1
    assert outcomes.count(known_of(stores)) == 15
    assert known_of(stores).conversation is not None


def test_of_many_who_want_to_be_alone_one_is(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    conversation = begin(stores)

    async def append(_: int) -> bool:
        try:
            await stores.append(conversation, alone=True)
        except TurnInProgress:
            return False
        return True

    assert sorted(at_once(8, append)) == [False] * 7 + [True]


def test_a_reply_that_grows_while_it_is_settled_is_whole_or_as_it_was(
    threadsafe_stores: Stores,
) -> None:
    stores = threadsafe_stores
    pending = anyio.run(stores.begin_completion)

    async def settle(caller: int) -> bool:
        last = stores.grown(1, [f"answer {caller}"])
        return await stores.settle(finished(pending, f"answer {caller}"), last)

    async def read() -> tuple[Message, tuple[Checkpoint, ...]]:
        store = stores.conversations
        reply = await store.get_completion(stores.scope, pending.id)
        return reply, await store.checkpoints(stores.tenant, pending.id)

    settled = at_once(8, settle)
    assert settled.count(True) == 1
    reply, grown = anyio.run(read)
    assert grown == (stores.grown(1, [reply.text]),)


@pytest.mark.parametrize(("callers", "limit"), [(64, 40), (64, 100)])
def test_counting_is_exact(threadsafe_stores: Stores, callers: int, limit: int) -> None:
    stores = threadsafe_stores

    async def admit(_: int) -> tuple[bool, int, float]:
        return await stores.counter.admit(stores.tenant, limit=limit, window=60)

    answers = at_once(callers, admit)
    admitted = sorted((left for counted, left, _ in answers if counted), reverse=True)
    assert admitted == list(range(limit - 1, limit - 1 - min(callers, limit), -1))
    assert all(left == 0 for counted, left, _ in answers if not counted)
