"""Several routes to a model as one model: asks them in order, until one begins to reply.

What a caller has seen can't be taken back, so another route is asked only before the first piece of
a reply. `Accepted` makes the caller's status a success; so it is held back until that first piece
(or the end of an empty reply), unless no other attempt could follow anyway.

Routes to remote models are asked again, up to `ROUNDS` times and within `RETRY_SECONDS`; where one
fails over and over, its circuit opens and it isn't asked at all for a while. Models of this process
have neither: asking them again at once wouldn't change anything.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, replace

from parley.domain.abilities import check_abilities
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)
from parley.domain.routes import ModelRoute
from parley.domain.turns import Accepted, Completed, CompletionRequest, ModelEvent
from parley.domain.words import in_words
from parley.ports import Clock, Model, Models

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often all routes are gone through at most."""

RETRY_SECONDS = 20.0
"""From the beginning of a call: later than that nothing is asked a second time."""

FIRST_PAUSE = 0.5
"""Seconds before the second round at most; it doubles, and chance takes a part of it."""

OPENS_AFTER = 5
"""Failures in a row that open a circuit."""

OPEN_SECONDS = 15.0
"""How long a circuit stays open before one call may probe it."""

LONGEST_OPEN = 60.0
"""However long a server wants to be left alone."""

CIRCUITS_KEPT = 1000
"""The ones that were used last; a catch-all route has as many models as callers name."""

_TELLING = (ModelUnavailable, ModelThrottled, ModelError, ContextTooLong)
"""What says most of several failures: first what trying again may mend."""

_served: ContextVar[list[ModelRoute] | None] = ContextVar("served", default=None)

Pause = Callable[[float], Awaitable[None]]
Jitter = Callable[[float], float]


def _full_jitter(longest: float) -> float:
    return random.uniform(0, longest)  # noqa: S311 - spreads callers out, guards nothing


def watch() -> Sequence[ModelRoute]:
    """A list that grows by each route that serves on behalf of the current task from now on.

    It is for one who tells of them without having asked a model, such as a response's headers.
    """
    served: list[ModelRoute] = []
    _served.set(served)
    return served


class Circuit:
    """Whether a route may be asked, from how it went before."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0
        self._probe: object = None
        self._throttled = False

    def admits(self, call: object, now: float) -> bool:
        """Whether a call may be made; of an open circuit, one at a time once its time is up."""
        if self._failures < OPENS_AFTER:
            return True
        if now < self._open_until or self._probe is not None:
            return False
        self._probe = call
        return True

    def began(self, call: object) -> None:
        """Note the first piece of a reply: a probe has found it mended."""
        if call is self._probe:
            self.answered()

    def answered(self) -> None:
        """Note a whole reply, or a refusal that says the server is well."""
        self._failures = 0

    def failed(self, error: ModelUnavailable | ModelThrottled, now: float) -> None:
        """Note a failure."""
        self._failures += 1
        self._throttled = isinstance(error, ModelThrottled)
        rest = max(OPEN_SECONDS, min(error.retry_after or 0, LONGEST_OPEN))
        self._open_until = now + rest

    def left(self, call: object) -> None:
        """Note that a call is over, however it went."""
        if call is self._probe:
            self._probe = None

    def refusal(self, now: float) -> ModelUnavailable | ModelThrottled:
        """Why it isn't asked."""
        rest = max(0.0, self._open_until - now)
        if self._throttled:
            return ModelThrottled(
                "The model takes no more requests right now. Please try again later.",
                retry_after=rest,
            )
        return ModelUnavailable(
            "The model has failed several times in a row. Please try again later.",
            retry_after=rest,
        )


class Routing:
    """Makes models of routes, and knows which of the routes are failing."""

    def __init__(
        self,
        models: Models,
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        jitter: Jitter = _full_jitter,
    ) -> None:
        """Put the ports in place.

        Args:
            pause: waits for so many seconds.
            jitter: a random number of seconds up to the one given.
        """
        self._models = models
        self._clock = clock
        self._pause = pause
        self._jitter = jitter
        self._circuits: OrderedDict[ModelRoute, Circuit] = OrderedDict()

    def model(self, routes: tuple[ModelRoute, ...]) -> "RoutedModel":
        """One model of these routes; at least one.

        A route to a back end that this deployment doesn't carry counts as one that failed.

        Raises:
            ModelUnavailable: it doesn't carry any.
        """
        ways: list[_Way] = []
        missing: list[ModelUnavailable] = []
        for route in routes:
            try:
                ways.append(_Way(route, self._models.serving(route), self._circuit(route)))
            except ModelUnavailable as error:
                missing.append(error)
        if not ways:
            raise missing[0]
        return RoutedModel(tuple(ways), self._clock, pause=self._pause, jitter=self._jitter)

    def _circuit(self, route: ModelRoute) -> Circuit | None:
        if not route.remote:
            return None
        # Two tenants share one where they ask the same model of the same server with the same key:
        # a key that is throttled says nothing of another's.
        where = replace(route.endpoint, model=route.model)
        circuit = self._circuits.setdefault(where, Circuit())
        self._circuits.move_to_end(where)
        if len(self._circuits) > CIRCUITS_KEPT:
            self._circuits.popitem(last=False)
        return circuit


@dataclass(frozen=True, slots=True)
class _Way:
    """A route, and what it leads to."""

    route: ModelRoute
    model: Model
    circuit: Circuit | None

    def asked(self, request: CompletionRequest) -> CompletionRequest:
        """The request as this route's model is asked it."""
        messages = request.messages
        if "tools" in self.route.lacks:
            messages = tuple(in_words(messages))  # those of a conversation that had some
        return replace(
            request,
            messages=messages,
            model=self.route.model,
            parameters=request.parameters.over(self.route.parameters),
        )

    def check(self, request: CompletionRequest) -> None:
        """Refuse what this route's model can't do."""
        asked = self.asked(request)
        check_abilities(asked, self.route.lacks)
        self.model.check(asked)


class RoutedModel:
    """A model behind several routes; its window is that of the first.

    Attributes:
        largest_window: tokens that any of them takes at most.
    """

    def __init__(
        self, ways: tuple[_Way, ...], clock: Clock, *, pause: Pause, jitter: Jitter
    ) -> None:
        self.context_window = ways[0].model.context_window
        self.largest_window = max(way.model.context_window for way in ways)
        self._ways = ways
        self._clock = clock
        self._pause = pause
        self._jitter = jitter

    def check(self, request: CompletionRequest) -> None:
        """Refuse what none of the routes can do, with the first one's reason."""
        self._able(request)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the routes that can do it, one after the other, until one begins to reply.

        Where all fail, the error is the most telling one, with the shortest time after which
        trying again may help.
        """
        able = self._able(request)
        failures: dict[int, ParleyError] = {}
        now = self._clock.monotonic
        ends = now() + RETRY_SECONDS
        due = list(range(len(able)))
        again: dict[int, float] = {}  # when to ask which of them once more
        for rounds_left in reversed(range(ROUNDS)):
            for position, place in enumerate(due):
                again.pop(place, None)
                way = able[place]
                alone = position == len(due) - 1 and not again and not way.route.remote
                attempt = _Attempt(way, self._clock)
                try:
                    async with aclosing(attempt.events(request, hold=not alone)) as events:
                        async for event in events:
                            yield event
                except (ModelError, ContextTooLong) as error:
                    if attempt.begun:
                        raise
                    log.warning("route %s failed: %s", way.route.label, error.code)
                    failures[place] = error
                    if attempt.asked and way.route.remote and _is_passing(error):
                        again[place] = now() + (getattr(error, "retry_after", None) or 0.0)
                else:
                    return
            if not (again and rounds_left) or _fits_nowhere(able, failures):
                break
            wait = max(0.0, min(again.values()) - now())
            wait += self._jitter(FIRST_PAUSE * 2 ** (ROUNDS - 1 - rounds_left))
            if now() + wait > ends:
                break
            await self._pause(wait)
            due = [place for place, moment in again.items() if moment <= now()]
        raise _most_telling(able, failures)

    def _able(self, request: CompletionRequest) -> tuple[_Way, ...]:
        """The routes that can do what is asked; at least one.

        Raises:
            InvalidRequest: why the first can't, where none can.
        """
        able: list[_Way] = []
        refusals: list[InvalidRequest] = []
        for way in self._ways:
            try:
                way.check(request)
            except InvalidRequest as error:
                refusals.append(error)
            else:
                able.append(way)
        if not able:
            raise refusals[0]
        return tuple(able)


class _Attempt:
    """One try of one route, told to its circuit."""

    def __init__(self, way: _Way, clock: Clock) -> None:
        self.begun = False
        """Whether anything was passed on."""
        self.asked = False
        """Whether the model was asked at all."""
        self._way = way
        self._clock = clock

    async def events(
        self, request: CompletionRequest, *, hold: bool
    ) -> AsyncGenerator[ModelEvent, None]:
        """Yield what the model says.

        Args:
            hold: keep `Accepted` back until there is something behind it.
        """
        route, circuit = self._way.route, self._way.circuit or Circuit()
        if not circuit.admits(self, self._clock.monotonic()):
            raise circuit.refusal(self._clock.monotonic())
        self.asked = True
        try:
            async with aclosing(self._way.model.complete(self._way.asked(request))) as events:
                async for event in events:
                    is_accepted = isinstance(event, Accepted)
                    if not self.begun and not (is_accepted and hold):
                        self.begun = True
                        _note(route)
                        yield Accepted(route)
                    if is_accepted:
                        continue
                    circuit.began(self)
                    if isinstance(event, Completed):
                        circuit.answered()
                    yield event
        except (ModelUnavailable, ModelThrottled) as error:
            circuit.failed(error, self._clock.monotonic())
            raise
        except ParleyError:  # it failed at this one request, so it isn't down
            circuit.answered()
            raise
        finally:
            circuit.left(self)


def _note(route: ModelRoute) -> None:
    served = _served.get()
    if served is not None:
        served.append(route)


def _is_passing(error: ParleyError) -> bool:
    return isinstance(error, ModelUnavailable | ModelThrottled)


def _fits_nowhere(ways: Sequence[_Way], failures: Mapping[int, ParleyError]) -> bool:
    """Whether the route with the largest window has found the prompt too long."""
    largest = max(way.model.context_window for way in ways)
    return any(
        isinstance(error, ContextTooLong) and ways[place].model.context_window == largest
        for place, error in failures.items()
    )


def _most_telling(ways: Sequence[_Way], failures: Mapping[int, ParleyError]) -> ParleyError:
    found = [error for _, error in sorted(failures.items())]
    if _fits_nowhere(ways, failures):
        return next(error for error in found if isinstance(error, ContextTooLong))
    error = next(error for kind in _TELLING for error in found if isinstance(error, kind))
    if not isinstance(error, ModelUnavailable | ModelThrottled):
        return error
    return type(error)(error.message, retry_after=_shortest(found), param=error.param)


def _shortest(failures: Iterable[ParleyError]) -> float | None:
    """After how many seconds trying again may help, where anything tells."""
    told = [getattr(error, "retry_after", None) for error in failures]
    return min((seconds for seconds in told if seconds is not None), default=None)
