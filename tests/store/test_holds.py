"""What the stores promise of what turns hold until they are settled."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest

from parley.adapters.system import RandomIds
from parley.domain.conversations import Message, Origin, Parameters, Role, Scope, Status, Usage
from parley.domain.errors import BudgetExhausted, NotFound, StoreUnavailable
from parley.domain.holds import Account, Balance, Hold, NoRoom, budget, tokens, turns, units
from parley.domain.once import Repeated
from parley.domain.routes import ModelRoute, Price
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.domain.turns import CompletionRequest, PromptMessage
from parley.services.turns import Turns
from tests.store.test_concurrency import at_once
from tests.support.clock import NOON
from tests.support.stores import Stores, finished
from tests.support.turns import OnlyPlayed, Played

pytestmark = pytest.mark.anyio

MONEY = budget(NOON)
CENT = units(Decimal("0.01"))


def origin(*holds: Hold) -> Origin:
    return Origin(dialect="test", key_id="key-1", user="alice", holds=holds)


def dollars(amount: str, limit: str = "1.00", account: Account = MONEY) -> Hold:
    return Hold(account, units(Decimal(amount)), units(Decimal(limit)))


async def balance(stores: Stores, account: Account = MONEY) -> Balance:
    return await stores.conversations.balance(stores.tenant, account)


async def begin(stores: Stores, *holds: Hold, **how: Any) -> Message:
    """A stateless completion that holds something."""
    reply = stores.completion(origin=origin(*holds))
    await stores.conversations.begin_completions(stores.scope, [reply], **how)
    return reply


async def settle(stores: Stores, reply: Message, cost: str, **changes: Any) -> bool:
    ended = finished(reply, "Hi!", origin=reply.origin)
    record = replace(stores.record(ended), cost=Decimal(cost), **changes)
    return await stores.conversations.settle(ended, record)


async def test_what_a_turn_may_cost_is_taken_and_what_it_did_not_is_given_back(
    stores: Stores,
) -> None:
    reply = await begin(stores, dollars("0.60"))
    assert await balance(stores) == Balance(60 * CENT, 0)
    assert await settle(stores, reply, "0.25")
    assert await balance(stores) == Balance(25 * CENT, 25 * CENT)


async def test_a_turn_is_settled_for_what_it_used_even_if_that_is_more(stores: Stores) -> None:
    reply = await begin(stores, dollars("0.60"))
    assert await settle(stores, reply, "0.75")
    assert await balance(stores) == Balance(75 * CENT, 75 * CENT)


async def test_a_second_settling_changes_nothing(stores: Stores) -> None:
    reply = await begin(stores, dollars("0.60"))
    assert await settle(stores, reply, "0.25")
    assert not await settle(stores, reply, "0.40")
    assert await balance(stores) == Balance(25 * CENT, 25 * CENT)


async def test_where_there_is_no_room_nothing_is_stored(stores: Stores) -> None:
    await begin(stores, dollars("0.60"))
    with pytest.raises(NoRoom) as refused:
        await begin(stores, dollars("0.41"))
    assert refused.value.hold == dollars("0.41")
    rejected = stores.completion(origin=origin(dollars("0.41")))
    with pytest.raises(NoRoom):
        await stores.conversations.begin_completions(stores.scope, [rejected])
    with pytest.raises(NotFound):
        await stores.conversations.get_completion(stores.scope, rejected.id)
    assert (await balance(stores)).taken == 60 * CENT
    await begin(stores, dollars("0.40"))


async def test_a_stored_turn_without_room_leaves_its_conversation_as_it_was(
    stores: Stores,
) -> None:
    conversation = await stores.begin()
    await begin(stores, dollars("0.60"))
    with pytest.raises(NoRoom):
        await stores.append(conversation, origin=origin(dollars("0.50")))
    head = await stores.conversations.get(stores.scope, conversation.id)
    assert head.message_count == 0
    _, reply = await stores.append(conversation, origin=origin(dollars("0.40")))
    _, read = await stores.conversations.get_message(stores.scope, reply.id)
    assert read.origin == reply.origin == origin(dollars("0.40"))


async def test_what_can_never_have_room_is_refused_though_nothing_is_taken(stores: Stores) -> None:
    with pytest.raises(NoRoom):
        await begin(stores, dollars("1.01"))
    assert await balance(stores) == Balance()


async def test_turns_that_begin_together_have_room_together_or_none_has(stores: Stores) -> None:
    def three(amount: str) -> list[Message]:
        return [stores.completion(origin=origin(dollars(amount))) for _ in range(3)]

    with pytest.raises(NoRoom):
        await stores.conversations.begin_completions(stores.scope, three("0.34"))
    assert (await balance(stores)).taken == 0
    replies = three("0.33")
    await stores.conversations.begin_completions(stores.scope, replies)
    assert (await balance(stores)).taken == 99 * CENT
    for reply in replies:
        assert await settle(stores, reply, "0.01")
    assert await balance(stores) == Balance(3 * CENT, 3 * CENT)


async def test_all_accounts_have_room_or_nothing_is_taken_of_any(stores: Stores) -> None:
    of_key = budget(NOON, "key-1")
    await begin(stores, dollars("0.10", "0.15", of_key))
    with pytest.raises(NoRoom) as refused:
        await begin(stores, dollars("0.10"), dollars("0.10", "0.15", of_key))
    assert refused.value.hold.account == of_key
    assert await balance(stores) == Balance()


async def test_tokens_of_a_minute_are_corrected_while_it_lasts(stores: Stores) -> None:
    minute = tokens(NOON)
    first = await begin(stores, Hold(minute, 90, 100))
    with pytest.raises(NoRoom):
        await begin(stores, Hold(minute, 20, 100))
    assert await settle(stores, first, "0", usage=Usage(10, 15))
    assert (await balance(stores, minute)).taken == 25
    second = await begin(stores, Hold(minute, 20, 100))
    stores.clock.advance(60)
    assert await settle(stores, second, "0", usage=Usage(10, 5))


async def test_turns_run_up_to_their_number_and_make_room_when_they_end(stores: Stores) -> None:
    running = [await begin(stores, Hold(turns(), 1, 2)) for _ in range(2)]
    with pytest.raises(NoRoom):
        await begin(stores, Hold(turns(), 1, 2))
    assert await settle(stores, running[0], "0", status=Status.FAILED)
    await begin(stores, Hold(turns(), 1, 2))


async def test_tenants_and_months_are_counted_apart(stores: Stores) -> None:
    await begin(stores, dollars("0.90"))
    await begin(stores, dollars("0.90", account=budget(NOON + timedelta(days=31))))
    other = stores.completion(origin=origin(dollars("0.90")))
    await stores.conversations.begin_completions(Scope(stores.tenant + "-other"), [other])


async def test_a_repeated_request_is_told_so_and_takes_nothing(stores: Stores) -> None:
    once = stores.once()
    await begin(stores, dollars("0.90"), once=once)
    with pytest.raises(Repeated):
        await begin(stores, dollars("0.90"), once=once)
    assert (await balance(stores)).taken == 90 * CENT


async def test_turns_that_hold_something_are_found_the_oldest_first(stores: Stores) -> None:
    store = stores.conversations
    first = await begin(stores, dollars("0.10"))
    stores.clock.advance(1)
    second = await begin(stores, Hold(turns(), 1, 5))
    await begin(stores, Hold(tokens(NOON), 1, 5))
    stores.clock.advance(1)
    third = await begin(stores, dollars("0.10"))
    now = stores.clock.now()
    held = [(each.id, each.created_at) for each in (first, second)]
    assert list(await store.holders(stores.tenant, before=now)) == held
    assert await settle(stores, first, "0.10")
    found = await store.holders(stores.tenant, before=now + timedelta(seconds=1))
    assert [turn for turn, _ in found] == [second.id, third.id]


async def test_what_a_lost_turn_holds_is_released_once(stores: Stores) -> None:
    conversation = await stores.begin()
    held = origin(dollars("0.60"), Hold(turns(), 1, 5))
    _, reply = await stores.append(conversation, origin=held)
    store = stores.conversations
    await store.delete(stores.scope, conversation.id)
    assert await store.release(stores.tenant, reply.id, since=reply.created_at)
    assert not await store.release(stores.tenant, reply.id, since=reply.created_at)
    assert await balance(stores) == Balance()
    assert (await balance(stores, turns())).taken == 0
    assert await store.holders(stores.tenant, before=NOON + timedelta(days=1)) == ()


@pytest.mark.parametrize("released", [False, True])
async def test_a_turn_whose_conversation_is_deleted_pays_for_what_it_used(
    stores: Stores,
    released: bool,  # noqa: FBT001 - a test's parameter has a name
) -> None:
    conversation = await stores.begin()
    _, reply = await stores.append(conversation, origin=origin(dollars("0.60")))
    await stores.conversations.delete(stores.scope, conversation.id)
    if released:
        await stores.conversations.release(stores.tenant, reply.id, since=reply.created_at)
    for _ in range(2):
        assert not await settle(stores, reply, "0.25")
    assert await balance(stores) == Balance(25 * CENT, 25 * CENT)
    assert stores.settled(stores.tenant) == [reply.id.number]


async def test_a_released_turn_that_goes_on_pays_for_the_minutes_tokens_once(
    stores: Stores,
) -> None:
    minute = tokens(NOON)
    conversation = await stores.begin()
    held = origin(Hold(turns(), 1, 5), Hold(minute, 90, 100))
    _, reply = await stores.append(conversation, origin=held)
    await stores.conversations.delete(stores.scope, conversation.id)
    await stores.conversations.release(stores.tenant, reply.id, since=reply.created_at)
    assert not await settle(stores, reply, "0", usage=Usage(10, 5))
    assert (await balance(stores, turns())).taken == 0
    assert (await balance(stores, minute)).taken == 15


# Many at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_calls_at_once_never_pass_a_nearly_spent_budget(
    threadsafe_stores: Stores, seed: int
) -> None:
    """Sixty-four callers, room for about ten; each settles for what it used and tries again."""
    stores = threadsafe_stores
    chance = random.Random(seed)  # noqa: S311 - guards nothing
    plans = [[(chance.randint(5, 15), chance.random()) for _ in range(3)] for _ in range(64)]
    limit = "1.00"
    seen: list[int] = []

    async def spend(caller: int) -> int:
        spent = 0
        for cents, share in plans[caller]:
            try:
                reply = await begin(stores, dollars(f"0.{cents:02}", limit))
            except (NoRoom, StoreUnavailable):
                continue
            seen.append((await balance(stores)).taken)
            used = int(cents * share)
            assert await settle(stores, reply, f"0.{used:02}")
            spent += used
        return spent

    spent = sum(at_once(64, spend))
    assert max(seen) <= 100 * CENT
    assert anyio.run(balance, stores) == Balance(spent * CENT, spent * CENT)
    assert 80 <= spent <= 100


@pytest.mark.parametrize("seed", [1, 2])
async def test_turns_at_once_never_pass_a_nearly_spent_budget(
    threadsafe_stores: Stores, seed: int
) -> None:
    """Sixty-four turns of the service, some with an end to their reply and some left early."""
    stores = threadsafe_stores
    chance = random.Random(seed)  # noqa: S311 - guards nothing
    price = Price(since=NOON.date(), prompt=Decimal(1), completion=Decimal(2))
    limit = Decimal("0.0005")  # of 500 millionths, of which a turn takes seven and may take 90
    tenant = Tenant(
        id=stores.tenant,
        created_at=NOON,
        models={"small": ModelRoute("played", "m-1", prices=(price,))},
        budget=limit,
    )
    caller = Caller(tenant, "key-1", KeyKind.TEST)
    model = Played()
    service = Turns(stores.conversations, OnlyPlayed(model), stores.clock, RandomIds())
    plans = [Parameters(max_tokens=chance.randint(1, 40)) for _ in range(64)]

    async def take(parameters: Parameters) -> bool:
        said = (PromptMessage(Role.USER, "Hi"),)
        request = CompletionRequest(model="small", messages=said, parameters=parameters)
        try:
            turn = await service.complete(caller, request, dialect="test")
        except BudgetExhausted:
            return False
        assert (await balance(stores)).taken <= units(limit)
        await turn.result()
        return True

    taken = await asyncio.gather(*(take(plan) for plan in plans))
    assert 0 < sum(taken) == len(model.asked)
    spent = units(sum(taken) * Decimal("0.000007"))
    assert await balance(stores) == Balance(spent, spent)
    assert spent <= units(limit)


def test_a_turn_settled_and_released_by_many_at_once_is_given_back_once(
    threadsafe_stores: Stores,
) -> None:
    stores = threadsafe_stores

    async def begun() -> Message:
        conversation = await stores.begin()
        await begin(stores, dollars("0.30"))
        _, reply = await stores.append(conversation, origin=origin(dollars("0.60")))
        await stores.conversations.delete(stores.scope, conversation.id)
        return reply

    reply = anyio.run(begun)

    async def end(caller: int) -> bool:
        if caller % 2:
            return await settle(stores, reply, "0.25")
        return await stores.conversations.release(stores.tenant, reply.id, since=reply.created_at)

    at_once(16, end)
    assert anyio.run(balance, stores) == Balance(55 * CENT, 25 * CENT)


def test_no_more_turns_run_at_once_than_may(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores

    async def run(_: int) -> bool:
        try:
            await begin(stores, Hold(turns(), 1, 5))
        except NoRoom:
            return False
        return True

    assert sum(at_once(32, run)) == 5
