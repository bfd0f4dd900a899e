"""Routes in order: who is asked, what the caller sees of it, and who is left alone."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from parley.domain.conversations import FinishReason, Parameters, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)
from parley.domain.routes import ModelRoute
from parley.domain.tools import Tool
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
)
from parley.services.routing import (
    OPEN_SECONDS,
    OPENS_AFTER,
    RETRY_SECONDS,
    ROUNDS,
    Routing,
    watch,
)
from tests.support.clock import ManualClock
from tests.support.models import prompt

pytestmark = pytest.mark.anyio

A = ModelRoute("bedrock", "a")
B = ModelRoute("bedrock", "b")
HERE = ModelRoute("scripted", "here")
END = Completed(FinishReason.STOP, Usage(1, 1))
REPLY: list[ModelEvent] = [Accepted(), TextDelta("Yes."), END]

DOWN = ModelUnavailable("down")
THROTTLED = ModelThrottled("busy", retry_after=3.0)
BUSY = ModelThrottled("busy", retry_after=40.0)

Play = Sequence[ModelEvent | Exception | asyncio.Event]


@dataclass
class Player:
    """Plays a list for each request, the last one over and over."""

    plays: list[Play]
    context_window: int = 1000
    refuses: InvalidRequest | None = None
    asked: list[CompletionRequest] = field(default_factory=list)
    closed: int = 0

    def check(self, request: CompletionRequest) -> None:
        if self.refuses:
            raise self.refuses

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        self.asked.append(request)
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        try:
            for step in play:
                match step:
                    case Exception():
                        raise step
                    case asyncio.Event():
                        await step.wait()
                    case _:
                        yield step
        finally:
            self.closed += 1


class World:
    """Models by id, and a clock that only pauses move."""

    def __init__(self, **models: Player) -> None:
        self.models = models
        self.clock = ManualClock()
        self.pauses: list[float] = []
        self.jitters: list[float] = []
        self.routing = Routing(self, self.clock, pause=self._pause, jitter=self._jitter)

    def serving(self, route: ModelRoute) -> Player:
        if route.model not in self.models:
            raise ModelUnavailable(f"no {route.model}")
        return self.models[route.model]

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def _jitter(self, longest: float) -> float:
        self.jitters.append(longest)
        return longest

    async def ask(self, *routes: ModelRoute, **parameters: float) -> list[ModelEvent]:
        model = self.routing.model(routes)
        async with aclosing(model.complete(prompt("Well?", **parameters))) as events:
            return [event async for event in events]

    async def fail(self, *routes: ModelRoute) -> ParleyError:
        with pytest.raises(ParleyError) as raised:
            await self.ask(*routes)
        return raised.value

    def times(self) -> dict[str, int]:
        return {name: len(model.asked) for name, model in self.models.items()}


# In order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DOWN, THROTTLED, ModelError("misconfigured")])
async def test_the_next_route_is_asked_where_one_fails_before_it_replies(fault: Exception) -> None:
    world = World(a=Player([[fault]]), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(B), *REPLY[1:]]
    assert world.times() == {"a": 1, "b": 1}
    assert not world.pauses


async def test_the_next_route_is_not_asked_where_one_replies() -> None:
    world = World(a=Player([REPLY]), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(A), *REPLY[1:]]
    assert world.times() == {"a": 1, "b": 0}


@pytest.mark.parametrize("piece", [TextDelta("So"), ReasoningDelta("Hm.")])
async def test_nothing_is_asked_twice_once_the_caller_has_seen_a_piece(piece: ModelEvent) -> None:
    world = World(a=Player([[Accepted(), piece, DOWN]]), b=Player([REPLY]))

    async with aclosing(world.routing.model((A, B)).complete(prompt("Well?"))) as events:
        assert [await anext(events), await anext(events)] == [Accepted(A), piece]
        with pytest.raises(ModelUnavailable):
            await anext(events)

    assert world.times() == {"a": 1, "b": 0}


async def test_a_route_that_accepts_and_fails_was_never_seen() -> None:
    world = World(a=Player([[Accepted(), DOWN]]), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(B), *REPLY[1:]]


async def test_a_model_of_this_process_that_stands_alone_is_accepted_at_once() -> None:
    silence = asyncio.Event()
    world = World(here=Player([[Accepted(), silence, TextDelta("Yes."), END]]))

    async with aclosing(world.routing.model((HERE,)).complete(prompt("Well?"))) as events:
        assert await anext(events) == Accepted(HERE)
        silence.set()
        assert [event async for event in events] == REPLY[1:]


async def test_an_empty_reply_is_accepted_at_its_end() -> None:
    world = World(a=Player([[Accepted(), END]]), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(A), END]


async def test_a_prompt_too_long_for_one_is_shown_to_the_next() -> None:
    world = World(a=Player([[ContextTooLong("long")]]), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(B), *REPLY[1:]]


async def test_a_prompt_too_long_for_the_largest_window_is_not_tried_again() -> None:
    world = World(a=Player([[DOWN]]), b=Player([[ContextTooLong("long")]]))

    assert isinstance(await world.fail(A, B), ContextTooLong)
    assert world.times() == {"a": 1, "b": 1}


async def test_a_back_end_that_is_not_carried_is_passed_over() -> None:
    world = World(b=Player([REPLY], context_window=77))

    assert world.routing.model((A, B)).context_window == 77
    assert await world.ask(A, B) == [Accepted(B), *REPLY[1:]]


async def test_no_back_end_at_all_is_said_before_anything_is_asked() -> None:
    with pytest.raises(ModelUnavailable, match="no a"):
        World().routing.model((A, B))


async def test_a_request_that_the_server_refuses_is_the_callers_fault() -> None:
    world = World(a=Player([[InvalidRequest("no", param="stop")]]), b=Player([REPLY]))

    error = await world.fail(A, B)

    assert error.param == "stop"
    assert world.times() == {"a": 1, "b": 0}


# What a route can do ----------------------------------------------------------------------------


async def test_a_route_that_can_not_do_what_is_asked_is_passed_over() -> None:
    world = World(a=Player([REPLY], refuses=InvalidRequest("no", param="seed")), b=Player([REPLY]))

    assert await world.ask(A, B) == [Accepted(B), *REPLY[1:]]
    assert world.times() == {"a": 0, "b": 1}


async def test_what_no_route_can_do_is_refused_with_the_first_ones_reason() -> None:
    no = [InvalidRequest("no", param=param) for param in ("seed", "tools")]
    world = World(a=Player([REPLY], refuses=no[0]), b=Player([REPLY], refuses=no[1]))

    with pytest.raises(InvalidRequest) as raised:
        world.routing.model((A, B)).check(prompt("Well?"))

    assert raised.value.param == "seed"
    assert (await world.fail(A, B)).param == "seed"
    assert world.times() == {"a": 0, "b": 0}


async def test_a_route_is_not_asked_for_what_its_configuration_says_it_lacks() -> None:
    world = World(a=Player([REPLY]))
    model = world.routing.model((ModelRoute("bedrock", "a", lacks=frozenset({"tools"})),))
    request = CompletionRequest(
        model="any", messages=prompt("Well?").messages, tools=(Tool(name="f"),)
    )

    with pytest.raises(InvalidRequest) as raised:
        model.check(request)
    assert raised.value.param == "tools"


async def test_a_routes_parameters_hold_where_the_request_leaves_a_choice_open() -> None:
    world = World(a=Player([REPLY]))
    route = ModelRoute("bedrock", "a", parameters=Parameters(temperature=0.2, max_tokens=9))

    await world.ask(route, temperature=0.9)

    (asked,) = world.models["a"].asked
    assert asked.model == "a"
    assert asked.parameters == Parameters(temperature=0.9, max_tokens=9)


# Again ------------------------------------------------------------------------------------------


async def test_a_remote_route_is_asked_again_after_a_pause() -> None:
    world = World(a=Player([[DOWN], [DOWN], REPLY]))

    assert await world.ask(A) == [Accepted(A), *REPLY[1:]]
    assert world.pauses == world.jitters
    assert world.jitters[1] == 2 * world.jitters[0]


async def test_asking_ends_after_some_rounds() -> None:
    world = World(a=Player([[DOWN]]), b=Player([[DOWN]]))

    assert isinstance(await world.fail(A, B), ModelUnavailable)
    assert world.times() == {"a": ROUNDS, "b": ROUNDS}


async def test_a_throttled_route_is_left_alone_for_as_long_as_it_wants() -> None:
    world = World(a=Player([[THROTTLED], REPLY]))

    await world.ask(A)

    assert world.pauses == [3.0 + world.jitters[0]]


async def test_a_route_is_asked_again_later_where_others_may_be_sooner() -> None:
    slow = ModelThrottled("busy", retry_after=5.0)
    world = World(a=Player([[slow], REPLY]), b=Player([[DOWN], [DOWN], REPLY]))

    assert (await world.ask(A, B))[0] == Accepted(B)
    assert world.times() == {"a": 1, "b": 3}


async def test_nothing_is_asked_again_behind_the_deadline() -> None:
    world = World(a=Player([[ModelThrottled("busy", retry_after=RETRY_SECONDS + 1)]]))

    error = await world.fail(A)

    assert isinstance(error, ModelThrottled)
    assert error.retry_after == RETRY_SECONDS + 1
    assert not world.pauses


@pytest.mark.parametrize("fault", [ModelError("misconfigured"), ContextTooLong("long")])
async def test_a_failure_that_stays_is_not_tried_again(fault: ParleyError) -> None:
    world = World(a=Player([[fault]]))

    assert await world.fail(A) is fault
    assert world.times() == {"a": 1}


async def test_a_model_of_this_process_is_asked_once() -> None:
    world = World(here=Player([[DOWN]]))

    await world.fail(HERE)

    assert world.times() == {"here": 1}


# What is told of it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "kind", "retry_after"),
    [
        ([ModelThrottled("", retry_after=60), BUSY], "throttled", 40),
        ([ModelThrottled("", retry_after=None), BUSY], "throttled", 40),
        ([BUSY, DOWN], "unavailable", 40),
        ([ModelError(""), BUSY], "throttled", 40),
        ([ModelError(""), DOWN], "unavailable", None),
        ([ModelError(""), ContextTooLong("")], "error", None),
        ([ModelUnavailable(""), ContextTooLong("")], "unavailable", None),
        ([ContextTooLong(""), ModelUnavailable("")], "context_length_exceeded", None),
        ([ContextTooLong(""), ContextTooLong("")], "context_length_exceeded", None),
    ],
)
async def test_of_several_failures_the_most_telling_is_told(
    faults: list[ParleyError], kind: str, retry_after: float | None
) -> None:
    first, second = faults
    world = World(a=Player([[first]], context_window=2000), b=Player([[second]]))

    error = await world.fail(A, B)

    assert error.code.removeprefix("model_") == kind
    assert getattr(error, "retry_after", None) == retry_after


async def test_who_watches_hears_which_routes_served() -> None:
    world = World(a=Player([[DOWN]]), b=Player([REPLY]))
    served = watch()

    await asyncio.create_task(world.ask(A, B))
    await asyncio.create_task(world.ask(B))

    assert served == [B, B]


# Circuits ---------------------------------------------------------------------------------------


async def open_circuit(world: World) -> None:
    while len(world.models["a"].asked) < OPENS_AFTER:
        await world.fail(A)
    world.models["a"].asked.clear()


async def test_a_route_that_fails_over_and_over_is_not_asked_any_more() -> None:
    world = World(a=Player([[DOWN]]), b=Player([REPLY]))
    await open_circuit(world)

    assert (await world.ask(A, B))[0] == Accepted(B)
    assert isinstance(await world.fail(A), ModelUnavailable)
    assert world.times()["a"] == 0


async def test_an_open_circuit_says_how_long_it_stays_open() -> None:
    world = World(a=Player([[ModelThrottled("busy", retry_after=40.0)]]))
    while len(world.models["a"].asked) < OPENS_AFTER:
        await world.fail(A)
    world.clock.advance(10)

    error = await world.fail(A)

    assert isinstance(error, ModelThrottled)
    assert error.retry_after == 30.0


async def test_a_circuit_closes_when_a_probe_finds_the_route_mended() -> None:
    world = World(a=Player([[DOWN]]))
    await open_circuit(world)
    world.clock.advance(OPEN_SECONDS)
    world.models["a"].plays = [REPLY]

    assert await world.ask(A) == [Accepted(A), *REPLY[1:]]
    assert await world.ask(A) == [Accepted(A), *REPLY[1:]]


async def test_a_circuit_stays_open_when_the_probe_fails() -> None:
    world = World(a=Player([[DOWN]]))
    await open_circuit(world)
    world.clock.advance(OPEN_SECONDS)

    await world.fail(A)
    await world.fail(A)

    assert world.times() == {"a": 1}


async def test_one_call_at_a_time_probes() -> None:
    silence = asyncio.Event()
    world = World(a=Player([[DOWN]]))
    await open_circuit(world)
    world.clock.advance(OPEN_SECONDS)
    world.models["a"].plays = [[silence, *REPLY]]

    probe = asyncio.create_task(world.ask(A))
    await asyncio.sleep(0)
    assert isinstance(await world.fail(A), ModelUnavailable)
    silence.set()

    assert (await probe)[-1] == END
    assert world.times() == {"a": 1}


async def test_a_probe_that_nobody_waits_for_makes_room_for_another() -> None:
    world = World(a=Player([[DOWN]]))
    await open_circuit(world)
    world.clock.advance(OPEN_SECONDS)
    world.models["a"].plays = [[asyncio.Event()], REPLY]

    probe = asyncio.create_task(world.ask(A))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)

    assert world.models["a"].closed > OPENS_AFTER
    assert (await world.ask(A))[-1] == END


async def test_failures_with_successes_between_open_nothing() -> None:
    world = World(a=Player([[DOWN], REPLY] * OPENS_AFTER))

    for _ in range(OPENS_AFTER):
        await world.ask(A)

    assert world.times() == {"a": 2 * OPENS_AFTER}


async def test_what_a_caller_asks_wrongly_opens_nothing() -> None:
    world = World(a=Player([[InvalidRequest("no")]]))

    for _ in range(2 * OPENS_AFTER):
        await world.fail(A)

    assert world.times() == {"a": 2 * OPENS_AFTER}


@pytest.mark.parametrize(
    "other",
    [
        ModelRoute("bedrock", "b"),
        ModelRoute("bedrock", "a", region="eu-west-1"),
        ModelRoute("openai_compatible", "a", base_url="https://one.example"),
        ModelRoute("bedrock", "a", secret="another"),
    ],
)
async def test_a_circuit_is_of_one_model_at_one_endpoint_with_one_key(other: ModelRoute) -> None:
    world = World(a=Player([[DOWN]]), b=Player([REPLY]))
    await open_circuit(world)
    world.models["a"].plays = [REPLY]

    assert (await world.ask(other))[0] == Accepted(other)


async def test_routes_to_one_model_share_its_circuit_whatever_they_are_called() -> None:
    world = World(a=Player([[DOWN]]))
    await open_circuit(world)

    await world.fail(ModelRoute("bedrock", "a", name="other", parameters=Parameters(seed=1)))

    assert world.times() == {"a": 0}


async def test_a_model_of_this_process_has_no_circuit() -> None:
    world = World(here=Player([[DOWN]]))

    for _ in range(2 * OPENS_AFTER):
        await world.fail(HERE)

    assert world.times() == {"here": 2 * OPENS_AFTER}


async def test_leaving_closes_the_call_of_the_route_that_serves() -> None:
    world = World(a=Player([[Accepted(), TextDelta("So"), asyncio.Event()]]))

    async with aclosing(world.routing.model((A,)).complete(prompt("Well?"))) as events:
        assert [await anext(events), await anext(events)] == [Accepted(A), TextDelta("So")]

    assert world.models["a"].closed == 1
