"""Turns of tenants and keys that may use only so much."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from parley.domain import holds
from parley.domain.conversations import Origin, Parameters, Role, Status, Usage
from parley.domain.errors import (
    BudgetExhausted,
    InvalidRequest,
    ModelUnavailable,
    NotFound,
    ParleyError,
    PriceUnknown,
    RateLimited,
    TooManyTurns,
)
from parley.domain.holds import Balance, Hold, dollars, units
from parley.domain.routes import ModelRoute, Price
from parley.domain.tenants import Caller, KeyLimits, Limits
from parley.domain.tools import Tool
from parley.domain.turns import (
    LEASE_SECONDS,
    Accepted,
    CompletionRequest,
    Image,
    PromptMessage,
    ReasoningDelta,
    TextDelta,
)
from parley.services.turns import Turn
from parley.services.turns.reserving import reserved
from tests.support.clock import NOON
from tests.support.turns import CALLER, TENANT, World, until
from tests.unit.test_durable_turns import die_after, hanging

pytestmark = pytest.mark.anyio

PRICE = Price(since=date(2026, 1, 1), prompt=Decimal(1), completion=Decimal(2))
PRICED = ModelRoute("played", "m-1", name="priced", prices=(PRICE,))
MONEY = holds.budget(NOON)


@pytest.fixture
def world() -> World:
    return World()


def limited(
    *, budget: str | None = None, key: KeyLimits | None = None, **limits: int | None
) -> Caller:
    tenant = replace(
        TENANT,
        models={"small": PRICED},
        budget=None if budget is None else Decimal(budget),
        limits=replace(Limits(), **limits),  # type: ignore[arg-type]
    )
    return replace(CALLER, tenant=tenant, limits=key or KeyLimits())


async def complete(
    world: World, caller: Caller, *, text: str = "Hi", max_tokens: int | None = 10, times: int = 1
) -> Turn:
    request = CompletionRequest(
        model="small",
        messages=(PromptMessage(Role.USER, text),),
        parameters=Parameters(max_tokens=max_tokens),
    )
    turns = await world.turns.complete_often(caller, request, times, dialect="test")
    return turns[0]


async def balance(world: World, account: holds.Account = MONEY) -> Balance:
    return await world.store.balance(TENANT.id, account)


# Budgets -----------------------------------------------------------------------------------------


async def test_a_turn_is_billed_what_it_used_by_the_route_that_served(world: World) -> None:
    await (await complete(world, limited(budget="1"))).result()
    [line] = world.store.ledger
    assert line.usage == Usage(3, 2)
    assert line.cost == Decimal("0.000007")
    assert not line.estimated
    assert await balance(world) == Balance(units(line.cost), units(line.cost))


async def test_who_has_no_room_is_refused_before_a_model_is_asked_and_nothing_is_stored(
    world: World,
) -> None:
    caller = limited(budget="0.00001")
    conversation = await world.chat()
    with pytest.raises(BudgetExhausted) as refused:
        await complete(world, caller)
    assert refused.value.retry_after == 30.5 * 86_400  # March has 31 days, of which it is noon
    with pytest.raises(BudgetExhausted):
        await world.turns.send(caller, conversation.id, dialect="test", text="Hi")
    with pytest.raises(BudgetExhausted):
        await world.turns.accept(caller, conversation.id, dialect="test", text="Hi")
    with pytest.raises(BudgetExhausted):
        await world.turns.check_room(caller, text="Hi")
    assert world.model.asked == []
    assert await world.history(conversation) == ()
    assert world.store.ledger == []
    assert await balance(world) == Balance()


async def test_a_new_month_has_the_whole_budget(world: World) -> None:
    caller = limited(budget="0.00005")
    for _ in range(3):  # of seven millionths each, where one may need thirty
        await (await complete(world, caller)).result()
    with pytest.raises(BudgetExhausted):
        await complete(world, caller)
    world.clock.advance(31 * 86_400)
    await complete(world, caller)


async def test_the_budget_of_a_key_holds_within_that_of_its_tenant(world: World) -> None:
    caller = limited(budget="1", key=KeyLimits(budget=Decimal("0.00001")))
    with pytest.raises(BudgetExhausted, match="API key"):
        await complete(world, caller)
    assert await balance(world) == Balance()
    await complete(world, limited(budget="1"))


async def test_several_choices_have_room_together(world: World) -> None:
    one = reserve(limited(budget="1"), max_tokens=10)
    caller = limited(budget=str(dollars(3 * one.amount)))
    await complete(world, caller, times=3)
    with pytest.raises(BudgetExhausted):
        await complete(World(), caller, times=4)


async def test_a_turn_refused_by_its_model_costs_nothing(world: World) -> None:
    world.model.plays = (ModelUnavailable("No."),)
    with pytest.raises(ModelUnavailable):
        await complete(world, limited(budget="1"))
    [line] = world.store.ledger
    assert (line.usage, line.cost, line.route) == (None, Decimal(0), None)
    assert await balance(world) == Balance()


async def test_a_turn_that_is_stopped_is_billed_what_it_used_by_an_estimate(world: World) -> None:
    world.model.plays = hanging("Hello, ", "world!")
    turn = await complete(world, limited(budget="1"))
    async for _ in turn.events():
        break
    await world.turns.stop(CALLER, turn.reply.id)
    await world.turns.drain()
    [line] = world.store.ledger
    assert (line.status, line.estimated) == (Status.STOPPED, True)
    assert line.usage == Usage(5, 4)  # four characters a token, and four for the frame
    assert line.cost == Decimal("0.000013")
    assert await balance(world) == Balance(units(line.cost), units(line.cost))
    reply = await world.store.get_completion(CALLER.scope, turn.reply.id)
    assert reply.usage is None


async def test_a_turn_that_broke_off_is_billed_what_came_thoughts_included(world: World) -> None:
    world.model.plays = (
        Accepted(),
        ReasoningDelta("abcd" * 3),
        TextDelta("abcd"),
        ModelUnavailable("Gone."),
    )
    turn = await complete(world, limited(budget="1"))
    with pytest.raises(ParleyError):
        await turn.result()
    [line] = world.store.ledger
    assert (line.status, line.estimated) == (Status.FAILED, True)
    assert line.usage == Usage(5, 4, reasoning_tokens=3)


async def test_latencies_are_of_the_models_time(world: World) -> None:
    def think() -> None:
        world.clock.advance(0.25)

    world.model.on_ask = think
    await (await complete(world, limited())).result()
    [line] = world.store.ledger
    assert (line.first_token_ms, line.duration_ms) == (250, 250)


# Turns whose process died ------------------------------------------------------------------------


async def test_what_a_dead_turn_holds_is_released_when_the_budget_looks_used_up(
    world: World,
) -> None:
    hold = reserve(limited(budget="1"), max_tokens=10)
    caller = limited(budget=str(dollars(hold.amount)))
    conversation = await world.chat()
    world.model.plays = hanging("Hel", "lo")
    parameters = Parameters(max_tokens=10)
    turn = await world.turns.send(
        caller, conversation.id, dialect="test", text="Hi", parameters=parameters, telling={"a": 1}
    )
    await die_after(world, turn, 2)
    with pytest.raises(BudgetExhausted):
        await complete(world, caller)
    world.clock.advance(LEASE_SECONDS + 1)
    with pytest.raises(BudgetExhausted):  # what was kept of it is billed, so it's a little less
        await complete(world, caller)
    [line] = world.store.ledger
    assert (line.status, line.estimated, line.route) == (Status.INTERRUPTED, True, "priced")
    assert line.usage == Usage(5, 2)
    assert await balance(world) == Balance(units(Decimal("0.000009")), units(Decimal("0.000009")))
    await complete(world, caller, max_tokens=1)


async def test_a_turn_that_runs_long_is_not_taken_for_dead(world: World) -> None:
    caller = limited(concurrent_turns=1)
    conversation = await world.chat()
    world.model.plays = hanging("Hel")
    await world.turns.send(caller, conversation.id, dialect="test", text="Hi", telling={"a": 1})
    for _ in range(3):
        world.clock.advance(LEASE_SECONDS - 1)
        with pytest.raises(TooManyTurns):
            await complete(world, caller)
        await until_signed(world)
    await world.turns.stop(caller, (await world.history(conversation))[1].id)


async def until_signed(world: World) -> None:
    async def has_signed() -> bool:
        [running] = world.turns._running.values()
        sign = await world.store.last_sign(TENANT.id, running.reply.id)
        return sign == world.clock.now()

    await until(has_signed)


async def test_what_a_dead_turn_holds_whose_conversation_is_deleted_is_released(
    world: World,
) -> None:
    caller = limited(concurrent_turns=1)
    conversation = await world.chat()
    world.model.plays = hanging("Hel", "lo")
    turn = await world.turns.send(
        caller, conversation.id, dialect="test", text="Hi", telling={"a": 1}
    )
    await die_after(world, turn, 2)
    await world.store.delete(CALLER.scope, conversation.id)
    world.clock.advance(LEASE_SECONDS + 1)
    await complete(world, caller)
    with pytest.raises(NotFound):
        await world.store.get(CALLER.scope, conversation.id)


async def test_who_is_refused_over_and_over_looks_for_dead_turns_now_and_then_only(
    world: World,
) -> None:
    looks = 0
    holders = world.store.holders

    async def counted(tenant: str, *, before: datetime) -> Any:
        nonlocal looks
        looks += 1
        return await holders(tenant, before=before)

    world.store.holders = counted  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(BudgetExhausted):
            await complete(world, limited(budget="0"))
    assert looks == 1
    world.clock.advance(3)
    with pytest.raises(BudgetExhausted):
        await complete(world, limited(budget="0"))
    assert looks == 2


# Tokens and turns --------------------------------------------------------------------------------


async def test_tokens_of_a_minute_are_taken_before_and_corrected_after(world: World) -> None:
    caller = limited(tokens_per_minute=40)
    minute = holds.tokens(NOON)
    world.model.plays = hanging("Hi")
    turn = await complete(world, caller, max_tokens=20)
    assert (await balance(world, minute)).taken == 29  # a frame of eight and a word are nine
    with pytest.raises(RateLimited) as refused:
        await complete(world, caller, max_tokens=20)
    assert (refused.value.code, refused.value.retry_after) == ("rate_limit_exceeded", 60)
    await world.turns.stop(caller, turn.reply.id)
    await world.turns.drain()
    assert (await balance(world, minute)).taken == 6


async def test_a_request_for_more_than_a_minute_has_is_told_that_waiting_does_not_help(
    world: World,
) -> None:
    caller = limited(tokens_per_minute=40)
    with pytest.raises(InvalidRequest) as refused:
        await complete(world, caller, max_tokens=32)
    assert refused.value.param == "max_tokens"
    with pytest.raises(InvalidRequest) as refused:
        await complete(world, caller, text="x" * 300, max_tokens=None)
    assert refused.value.param == "messages"


async def test_a_request_without_an_end_takes_a_whole_minutes_tokens_at_most(
    world: World,
) -> None:
    caller = limited(tokens_per_minute=40)
    await (await complete(world, caller, max_tokens=None)).result()
    assert (await balance(world, holds.tokens(NOON))).taken == 5


async def test_turns_wait_for_their_turn(world: World) -> None:
    caller = limited(concurrent_turns=2, key=KeyLimits(concurrent_turns=1))
    world.model.plays = hanging("Hi")
    turn = await complete(world, caller)
    with pytest.raises(TooManyTurns, match="API key") as refused:
        await complete(world, caller)
    assert refused.value.retry_after == 1
    another = replace(caller, key_id="key_2")
    await complete(world, another)
    with pytest.raises(TooManyTurns, match="account"):
        await complete(world, replace(caller, key_id="key_3"))
    await world.turns.stop(caller, turn.reply.id)

    async def has_room() -> bool:
        return (await balance(world, holds.turns())).taken == 1

    await until(has_room)
    await complete(world, caller)


# What is set aside -------------------------------------------------------------------------------


def reserve(
    caller: Caller,
    *routes: ModelRoute,
    max_tokens: int | None = None,
    tools: tuple[Tool, ...] = (),
    parts: tuple[str | Image, ...] = (),
) -> Hold:
    request = CompletionRequest(
        model="m-1",
        messages=(PromptMessage(Role.USER, "Hi", parts=parts),),
        parameters=Parameters(max_tokens=max_tokens),
        tools=tools,
    )
    origin = reserved(
        Origin(dialect="test", key_id="key_1", user="alice"),
        caller,
        routes or (PRICED,),
        request,
        window=1000,
        at=NOON,
    )
    [hold] = origin.holds
    return hold


BROKE = limited(budget="1")


def micro(hold: Hold) -> Decimal:
    return dollars(hold.amount) * 1_000_000


def test_the_prompt_is_taken_for_as_long_as_it_can_be_and_the_reply_for_max_tokens() -> None:
    assert micro(reserve(BROKE, max_tokens=10)) == (8 + 2) * 1 + 10 * 2
    assert micro(reserve(BROKE, max_tokens=10_000)) == 10 + 1000 * 2


def test_a_reply_without_an_end_is_taken_for_the_whole_window() -> None:
    assert micro(reserve(BROKE)) == 10 + 1000 * 2
    brief = replace(PRICED, parameters=Parameters(max_tokens=50))
    assert micro(reserve(BROKE, brief)) == 10 + 50 * 2


def test_the_dearest_route_counts_at_the_price_of_the_day() -> None:
    dearer = Price(since=date(2026, 3, 1), prompt=Decimal(5), completion=Decimal(5))
    to_come = Price(since=date(2026, 3, 2), prompt=Decimal(50), completion=Decimal(50))
    other = replace(PRICED, prices=(to_come, PRICE, dearer))
    assert micro(reserve(BROKE, PRICED, other, max_tokens=10)) == 100


def test_a_picture_may_take_the_whole_window() -> None:
    picture = Image("https://shop.example/tent.png")
    assert micro(reserve(BROKE, max_tokens=10, parts=("Hi", picture))) == 1000 + 20


def test_tools_count_with_all_that_is_told_of_them() -> None:
    tool = Tool(name="weather", description="d" * 100)
    assert micro(reserve(BROKE, max_tokens=10, tools=(tool,))) == 1000 + 20


def test_a_remote_model_without_a_price_is_refused_and_one_of_our_own_is_free() -> None:
    with pytest.raises(PriceUnknown):
        reserve(BROKE, PRICED, ModelRoute("bedrock", "m-2"))
    with pytest.raises(PriceUnknown):
        reserve(BROKE, replace(PRICED, backend="bedrock", prices=()))
    assert reserve(BROKE, ModelRoute("embedded", "m-3")).amount == 0


def test_the_month_of_a_budget_is_that_of_utc() -> None:
    december = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert holds.budget(december).period == "2026-12"
    assert holds.budget(december).ends_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert holds.budget(datetime(2027, 1, 1, tzinfo=UTC), "k").name == "key#k#budget#2027-01"
