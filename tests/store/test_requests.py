"""What is promised of requests that carry an idempotency key: by `Requests`, and by the store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from parley.domain.conversations import Conversation, Message
from parley.domain.errors import Conflict, ConversationFull, NotFound, TurnInProgress
from parley.domain.ids import MAX_SEQUENCE
from parley.domain.once import REMEMBERED_FOR, Answer, Done, Once, Repeated
from tests.support.stores import Stores, finished

pytestmark = pytest.mark.anyio

ANSWER = Answer(201, "application/json", '{"id": 7, "name": "ሰላም"}')
DAY = REMEMBERED_FOR.total_seconds()
HELD = timedelta(seconds=30)


async def hold(stores: Stores, once: Once) -> Done | None:
    return await stores.requests.hold(once, until=stores.clock.now() + HELD)


def held(stores: Stores, **known: object) -> Done:
    values = {"fingerprint": "asked", "held_until": stores.clock.now() + HELD} | known
    return Done(**values)  # type: ignore[arg-type]


# Answers -----------------------------------------------------------------------------------------


async def test_a_key_that_never_came_is_new(stores: Stores) -> None:
    assert await stores.requests.find(stores.once()) is None


async def test_the_first_of_those_who_ask_the_same_answers(stores: Stores) -> None:
    once = stores.once()
    assert await hold(stores, once) is None
    assert await hold(stores, once) == held(stores)
    assert await stores.requests.find(once) == held(stores)


async def test_an_answer_is_told_to_all_who_come_later(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.answered(once, ANSWER)
    for known in (await hold(stores, once), await stores.requests.find(once)):
        assert known == held(stores, answer=ANSWER)


@pytest.mark.parametrize(
    "body", ["", "x" * 349_999, "ሰ" * 400_000], ids=["empty", "long", "longer"]
)
async def test_an_answer_is_told_as_it_was_given_however_long(stores: Stores, body: str) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.answered(once, replace(ANSWER, body=body))
    known = await stores.requests.find(once)
    assert known is not None
    assert known.answer == replace(ANSWER, body=body)


@pytest.mark.parametrize("second", ["short", "x" * 400_000], ids=["short", "long"])
async def test_the_first_answer_stays(stores: Stores, second: str) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.answered(once, ANSWER)
    await stores.requests.answered(once, replace(ANSWER, body=second))
    known = await stores.requests.find(once)
    assert known is not None
    assert known.answer == ANSWER


async def test_a_key_that_comes_with_another_request_is_told_what_is_known(stores: Stores) -> None:
    once, other = stores.once(), stores.once(fingerprint="something else")
    await hold(stores, once)
    assert await hold(stores, other) == held(stores)
    stores.clock.advance(HELD.total_seconds())
    known = await hold(stores, other)
    assert known is not None
    assert known.fingerprint == once.fingerprint
    await stores.requests.answered(other, ANSWER)
    await stores.requests.release(other)
    assert await stores.requests.find(other) == known


async def test_keys_of_other_names_and_tenants_are_others(stores: Stores) -> None:
    await hold(stores, stores.once())
    for other in (stores.once("another"), replace(stores.once(), tenant=f"{stores.tenant}-other")):
        assert await stores.requests.find(other) is None
        assert await hold(stores, other) is None


async def test_who_holds_a_request_for_too_long_is_replaced(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    stores.clock.advance(HELD.total_seconds() - 0.000_001)
    assert await hold(stores, once) is not None
    stores.clock.advance(0.000_001)
    assert await stores.requests.find(once) == Done(fingerprint="asked")
    assert await hold(stores, once) is None
    assert await hold(stores, once) == held(stores)


async def test_a_request_that_came_to_nothing_is_new_again(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.release(once)
    assert await stores.requests.find(once) is None
    assert await hold(stores, once) is None


async def test_what_never_was_held_is_released_in_vain(stores: Stores) -> None:
    await stores.requests.release(stores.once())
    assert await stores.requests.find(stores.once()) is None


async def test_an_answer_is_not_released(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.answered(once, ANSWER)
    await stores.requests.release(once)
    assert await stores.requests.find(once) == held(stores, answer=ANSWER)


async def test_a_request_is_forgotten_a_day_after_its_answer(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    stores.clock.advance(20)
    await stores.requests.answered(once, ANSWER)
    stores.clock.advance(DAY - 1)
    assert await stores.requests.find(once) is not None
    stores.clock.advance(1)
    assert await stores.requests.find(once) is None
    assert await hold(stores, replace(once, fingerprint="something else")) is None
    assert await stores.requests.find(once) == held(stores, fingerprint="something else")


# Conversations -----------------------------------------------------------------------------------


async def begin(stores: Stores, once: Once) -> Conversation:
    conversation = stores.new()
    await stores.conversations.create(conversation, once=once)
    return conversation


async def test_a_request_begins_one_conversation(stores: Stores) -> None:
    once = stores.once()
    first = await begin(stores, once)
    assert await stores.requests.find(once) == Done(fingerprint="asked", conversation=first.id)
    second = stores.new(alias="foreign")
    for repeated in (once, replace(once, fingerprint="something else")):
        with pytest.raises(Repeated) as refused:
            await stores.conversations.create(second, once=repeated)
        assert refused.value.done == Done(fingerprint="asked", conversation=first.id)
    with pytest.raises(NotFound):
        await stores.conversations.get(stores.scope, second.id)
    assert await stores.conversations.find_alias(stores.scope, "foreign") is None


async def test_that_a_request_has_come_before_counts_for_more_than_a_taken_id(
    stores: Stores,
) -> None:
    once = stores.once()
    first = await begin(stores, once)
    with pytest.raises(Repeated):
        await stores.conversations.create(first, once=once)
    with pytest.raises(Conflict) as refused:
        await stores.conversations.create(first, once=stores.once("another"))
    assert not isinstance(refused.value, Repeated)
    assert await stores.requests.find(stores.once("another")) is None


async def test_who_holds_a_request_goes_on_holding_it_with_what_it_began(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    conversation = await begin(stores, once)
    assert await hold(stores, once) == held(stores, conversation=conversation.id)
    await stores.requests.release(once)
    assert await stores.requests.find(once) == held(stores, conversation=conversation.id)


async def test_whoever_comes_next_goes_on_with_what_was_begun(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    conversation = await begin(stores, once)
    stores.clock.advance(HELD.total_seconds())
    assert await hold(stores, once) is None
    assert await hold(stores, once) == held(stores, conversation=conversation.id)
    with pytest.raises(Repeated):
        await begin(stores, once)
    _, reply = await stores.append(conversation, once=once)
    known = await stores.requests.find(once)
    assert known is not None
    assert (known.conversation, known.turns) == (conversation.id, (reply.id,))


async def test_what_began_unheld_is_held_by_the_next(stores: Stores) -> None:
    once = stores.once()
    conversation = await begin(stores, once)
    assert await hold(stores, once) is None
    assert await stores.requests.find(once) == held(stores, conversation=conversation.id)


async def test_an_answered_request_begins_nothing(stores: Stores) -> None:
    once = stores.once()
    talk = await stores.begin()
    await stores.requests.answered(once, ANSWER)
    for attempt in (
        stores.conversations.create(stores.new(), once=once),
        stores.append(talk, once=once),
        stores.conversations.begin_completions(stores.scope, [stores.completion()], once=once),
    ):
        with pytest.raises(Repeated) as refused:
            await attempt
        assert refused.value.done == Done(fingerprint="asked", answer=ANSWER)


async def test_an_answer_that_comes_after_a_day_is_all_that_is_known(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    await begin(stores, once)
    stores.clock.advance(DAY)
    await stores.requests.answered(once, ANSWER)
    assert await stores.requests.find(once) == Done(fingerprint="asked", answer=ANSWER)


async def test_nothing_of_a_forgotten_request_is_left(stores: Stores) -> None:
    once = stores.once()
    await hold(stores, once)
    await stores.requests.answered(once, replace(ANSWER, body="x" * 400_000))
    stores.clock.advance(DAY)
    conversation = await begin(stores, once)
    known = await stores.requests.find(once)
    assert known is not None
    assert (known.conversation, known.turns, known.answer) == (conversation.id, (), None)
    assert await hold(stores, once) is None


# Turns -------------------------------------------------------------------------------------------


async def test_a_request_begins_one_turn(stores: Stores) -> None:
    once, talk = stores.once(), await stores.begin()
    _, reply = await stores.append(talk, once=once)
    done = Done(fingerprint="asked", conversation=talk.id, turns=(reply.id,))
    for repeated in (once, replace(once, fingerprint="something else")):
        with pytest.raises(Repeated) as refused:
            await stores.append(talk, once=repeated)
        assert refused.value.done == done
        assert await stores.requests.find(repeated) == done
        assert await hold(stores, repeated) == done
    head = await stores.conversations.get(stores.scope, talk.id)
    assert head.message_count == 2


async def test_a_request_that_is_held_begins_its_turn(stores: Stores) -> None:
    once, talk = stores.once(), await stores.begin()
    await hold(stores, once)
    _, reply = await stores.append(talk, once=once)
    await stores.requests.release(once)
    known = await stores.requests.find(once)
    assert known == Done(fingerprint="asked", conversation=talk.id, turns=(reply.id,))


async def test_a_request_that_began_a_turn_is_answered_by_that_alone(stores: Stores) -> None:
    once, talk = stores.once(), await stores.begin()
    _, reply = await stores.append(talk, once=once)
    await stores.requests.answered(once, ANSWER)
    known = await stores.requests.find(once)
    assert known == Done(fingerprint="asked", conversation=talk.id, turns=(reply.id,))


async def test_an_outdated_conversation_is_no_repetition(stores: Stores) -> None:
    talk = await stores.begin()
    for number in range(3):
        _, reply = await stores.append(talk, once=stores.once(f"key-{number}"))
        known = await stores.requests.find(stores.once(f"key-{number}"))
        assert known is not None
        assert known.turns == (reply.id,)
    assert reply.id.sequence == 6


async def test_a_turn_that_is_refused_leaves_its_request_new(stores: Stores) -> None:
    talk = await stores.begin()
    await stores.append(talk)
    with pytest.raises(TurnInProgress):
        await stores.append(talk, once=stores.once(), alone=True)
    with pytest.raises(NotFound):
        await stores.append(stores.new(), once=stores.once())
    assert await stores.requests.find(stores.once()) is None


async def test_the_request_that_filled_a_conversation_is_recognised(stores: Stores) -> None:
    talk = await stores.begin(message_count=MAX_SEQUENCE - 3)
    once = stores.once()
    _, reply = await stores.append(talk, once=once)
    full = replace(talk, message_count=reply.id.sequence)
    for known in (talk, full):
        with pytest.raises(Repeated):
            await stores.append(known, once=once)
        with pytest.raises(ConversationFull):
            await stores.append(known, once=stores.once("another"))


async def test_that_a_request_has_come_before_counts_for_more_than_what_came_since(
    stores: Stores,
) -> None:
    once, talk = stores.once(), await stores.begin()
    await stores.append(talk, once=once, alone=True)
    with pytest.raises(Repeated):
        await stores.append(talk, once=once, alone=True)


async def test_a_turn_is_remembered_for_a_day(stores: Stores) -> None:
    once, talk = stores.once(), await stores.begin()
    await stores.append(talk, once=once)
    stores.clock.advance(DAY - 1)
    with pytest.raises(Repeated):
        await stores.append(talk, once=once)
    stores.clock.advance(1)
    _, reply = await stores.append(talk, once=once)
    assert reply.id.sequence == 4


# Stateless completions ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
async def test_a_request_begins_its_completions_once(stores: Stores, count: int) -> None:
    once = stores.once()
    replies = [stores.completion() for _ in range(count)]
    await stores.conversations.begin_completions(stores.scope, replies, once=once)
    done = Done(fingerprint="asked", turns=tuple(reply.id for reply in replies))
    assert await stores.requests.find(once) == done
    for again in (replies, [stores.completion()]):
        with pytest.raises(Repeated) as refused:
            await stores.conversations.begin_completions(stores.scope, again, once=once)
        assert refused.value.done == done
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, again[0].id)


async def test_a_taken_id_leaves_the_request_new(stores: Stores) -> None:
    taken, free = await stores.begin_completion(), stores.completion()
    with pytest.raises(Conflict) as refused:
        await stores.conversations.begin_completions(
            stores.scope, [free, taken], once=stores.once()
        )
    assert not isinstance(refused.value, Repeated)
    assert await stores.requests.find(stores.once()) is None
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, free.id)


async def test_what_a_request_began_is_settled_like_anything_else(stores: Stores) -> None:
    reply: Message = stores.completion()
    await stores.conversations.begin_completions(stores.scope, [reply], once=stores.once())
    assert await stores.settle(finished(reply, "Hi!"))
    assert await stores.conversations.get_completion(stores.scope, reply.id) == finished(
        reply, "Hi!"
    )
