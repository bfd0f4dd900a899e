"""A store that fails at any of a turn's calls: every turn ends in a defined state, none doubles."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import Any

import anyio
import pytest

from parley.domain.conversations import Message, Status
from parley.domain.ids import ConversationId, MessageId
from tests.durability.effort import SEEDS, SOAK
from tests.support.deployment import (
    PAST_THE_LEASE,
    Customer,
    Deployment,
    check_counted_once,
    check_well_formed,
)
from tests.support.listening import Heard, listen, script
from tests.support.store_proxy import (
    Answer,
    Call,
    Decide,
    Forward,
    break_down,
    collide,
    hang_up,
    lose_answer,
    pass_on,
    proxy_of,
    stay_silent,
    throttle,
    throttle_transaction,
)

pytestmark = pytest.mark.anyio

AT_ONCE = 8
SAMPLE = 9
"""So many cases the short run tries, besides those that matter most."""

REPLY = "one two "
SCRIPT = script({"text": "one "}, {"wait": 1.3}, {"text": "two "})
"""Long enough for a checkpoint."""

FAULTS: Mapping[str, Decide] = {
    "throttled": throttle,
    "throttled in a transaction": throttle_transaction,
    "broken": break_down,
    "contended": collide,
    "answer lost": lose_answer,
    "hung up on": hang_up,
    "silent": stay_silent,
}

ONLY_WRITES = {"throttled in a transaction", "contended"}

WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}

Place = tuple[str, int]
"""The so-manieth call of an operation."""


@dataclass(frozen=True)
class Mode:
    """A way to ask for a turn."""

    is_stored: bool
    has_key: bool

    @property
    def headers(self) -> Mapping[str, str] | None:
        return {"idempotency-key": "k"} if self.has_key else None

    def request(self, conversation: ConversationId) -> tuple[str, dict[str, Any]]:
        if self.is_stored:
            return f"/v1/chat/{conversation}", {"content": SCRIPT, "stream": True}
        messages = [{"role": "user", "content": SCRIPT}]
        return "/v1/chat/completions", {"model": "any", "messages": messages, "stream": True}


MODES = [Mode(*each) for each in product([True, False], repeat=2)]


@dataclass
class Watch:
    """Lets a fault happen at one of a process's calls, be it at its first attempt or at all."""

    at: Place | None = None
    fault: Decide = pass_on
    again: bool = False
    """Whether all attempts fail, until the SDK gives up."""
    seen: list[Place] = field(default_factory=list)
    has_happened: bool = False
    _invocations: dict[str, Place] = field(default_factory=dict)
    _counted: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def decide(self, call: Call, forward: Forward) -> Answer | None:
        with self._lock:
            is_new = call.invocation not in self._invocations
            if is_new:
                self._counted[call.operation] += 1
                place = (call.operation, self._counted[call.operation])
                self._invocations[call.invocation] = place
                self.seen.append(place)
            is_here = self._invocations[call.invocation] == self.at
        if not is_here or not (is_new or self.again):
            return forward()
        self.has_happened = True
        return self.fault(call, forward)


@dataclass(frozen=True)
class Case:
    """What goes wrong, where."""

    mode: Mode
    place: Place
    fault: str
    again: bool

    def matters_most(self) -> bool:
        """Whether a transaction was made, and whoever made it never hears of that."""
        return (self.place[0], self.fault, self.again) == (
            "TransactWriteItems",
            "answer lost",
            True,
        )

    def __str__(self) -> str:
        return f"{self.mode}: {self.place} {self.fault}{' for good' if self.again else ' once'}"


async def calls_of(deployment: Deployment, mode: Mode) -> Sequence[Place]:
    """The calls that a turn makes where nothing goes wrong."""
    watch = Watch()
    customer = await deployment.customer()
    heard, _ = await ask(deployment, customer, mode, watch)
    assert (heard.text, heard.done) == (REPLY, True)
    return watch.seen


async def ask(
    deployment: Deployment, customer: Customer, mode: Mode, watch: Watch
) -> tuple[Heard, ConversationId]:
    """What a client hears of a turn in a process of its own, which is dead afterwards."""
    conversation = await customer.conversation()
    path, body = mode.request(conversation)
    with proxy_of(deployment.url) as proxy, deployment.zygote.serving(store=proxy.url) as process:
        proxy.decide = watch.decide
        async with customer.client(process) as client:
            heard = await listen(client, path, body, headers=mode.headers)
    return heard, conversation


@pytest.mark.parametrize("seed", SEEDS[:1])
async def test_no_fault_of_the_store_loses_or_doubles_a_turn(
    deployment: Deployment, seed: int
) -> None:
    cases = [
        Case(mode, place, fault, again)
        for mode in MODES
        for place in await calls_of(deployment, mode)
        for fault in FAULTS
        if place[0] in WRITES or fault not in ONLY_WRITES
        for again in (False, True)
    ]
    if not SOAK:
        quick = [case for case in cases if not (case.fault == "silent" and case.again)]
        chance = random.Random(seed)  # noqa: S311 - it is to repeat itself
        cases = [*filter(Case.matters_most, cases), *chance.sample(quick, SAMPLE)]
    limit = anyio.Semaphore(AT_ONCE)
    wrong: list[str] = []

    async def hold(case: Case) -> None:
        async with limit:
            try:
                await check(deployment, case)
            except AssertionError as error:
                wrong.append(f"{case}: {error}")

    async with anyio.create_task_group() as group:
        for case in cases:
            group.start_soon(hold, case)
    assert not wrong, "\n".join(wrong)


async def check(deployment: Deployment, case: Case) -> None:
    customer = await deployment.customer()
    watch = Watch(case.place, FAULTS[case.fault], case.again)
    heard, conversation = await ask(deployment, customer, case.mode, watch)
    assert watch.has_happened
    assert REPLY.startswith(heard.text)
    assert heard.done or heard.error is not None, "it ended without a word"
    if not case.again:
        assert heard.done, f"it shows: {heard.error}"
    if heard.done:
        assert heard.text == REPLY
    if case.mode.has_key:
        await repeat(deployment, customer, case.mode, conversation, heard)
    replies = await replies_of(customer, case.mode, conversation, heard)
    assert len(replies) <= 1
    if heard.done:
        [reply] = replies
        assert (reply.status, reply.text) == (Status.COMPLETED, REPLY)
    elif heard.status == 200:
        assert Status.COMPLETED not in {reply.status for reply in replies}
    if case.mode.is_stored or replies:
        check_counted_once(await customer.ledger(), replies)
    else:
        assert len(await customer.ledger()) <= 1


async def repeat(
    deployment: Deployment,
    customer: Customer,
    mode: Mode,
    conversation: ConversationId,
    heard: Heard,
) -> None:
    """Send the request again when all is well; what was told is told again."""
    path, body = mode.request(conversation)
    with deployment.zygote.serving(ahead=PAST_THE_LEASE) as process:
        async with customer.client(process) as client:
            again = await listen(client, path, body, headers=mode.headers)
    assert again.done or again.error in {"interrupted", heard.error}
    assert again.text.startswith(heard.text)
    assert not heard.done or again.done
    if mode.is_stored:
        assert len(await customer.history(conversation)) == 2
    heard.headers = again.headers  # it names the turn


async def replies_of(
    customer: Customer, mode: Mode, conversation: ConversationId, heard: Heard
) -> Sequence[Message]:
    """The replies that there are, read when nobody takes a dead turn for alive any more."""
    if mode.is_stored:
        history = await customer.history(conversation)
        check_well_formed(history)
        return history[1::2]
    turn = heard.headers.get("x-parley-turn")
    if turn is None:
        return []
    return [await customer.completion(MessageId.parse(turn.removeprefix("chatcmpl-")))]


@pytest.mark.parametrize("fault", ["broken", "throttled", "answer lost"])
async def test_a_completion_that_cannot_be_kept_is_refused_and_its_use_counted(
    deployment: Deployment, fault: str
) -> None:
    """Its model is asked side by side with the store, and has begun when the store gives up."""
    customer = await deployment.customer()
    watch = Watch(("PutItem", 1), FAULTS[fault], again=True)
    heard, _ = await ask(deployment, customer, Mode(is_stored=False, has_key=False), watch)
    assert watch.has_happened
    assert (heard.status, heard.error) == (503, "store_unavailable")
    [line] = await customer.ledger()
    assert (line.status, line.estimated, line.route) == (Status.FAILED, True, "scripted/any")
    if fault == "answer lost":
        check_counted_once([line], [await customer.completion(line.turn)])


async def test_a_turn_that_another_came_before_comes_behind_it(deployment: Deployment) -> None:
    """The condition that it is the next one fails."""
    customer = await deployment.customer()
    conversation = await customer.conversation()
    mode = Mode(is_stored=True, has_key=False)
    path, _ = mode.request(conversation)

    async def rival() -> None:
        with deployment.zygote.serving() as process:
            async with customer.client(process) as client:
                assert (await listen(client, path, {"content": "Me first", "stream": True})).done

    heard = await race(deployment, customer, mode, conversation, rival)
    assert (heard.text, heard.done) == (REPLY, True)
    history = await customer.history(conversation)
    check_well_formed(history)
    assert [message.text for message in history[::2]] == ["Me first", SCRIPT]
    check_counted_once(await customer.ledger(), history[1::2])


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.has_key])
async def test_a_request_whose_repetition_came_before_is_told_the_same(
    deployment: Deployment, mode: Mode
) -> None:
    """The condition that its key is new fails."""
    customer = await deployment.customer()
    conversation = await customer.conversation()
    path, body = mode.request(conversation)
    told: list[Heard] = []

    async def rival() -> None:
        with deployment.zygote.serving() as process:
            async with customer.client(process) as client:
                told.append(await listen(client, path, body, headers=mode.headers))

    heard = await race(deployment, customer, mode, conversation, rival)
    [first] = told
    assert (heard.text, heard.done) == (first.text, first.done) == (REPLY, True)
    assert heard.headers["x-parley-turn"] == first.headers["x-parley-turn"]
    replies = await replies_of(customer, mode, conversation, heard)
    check_counted_once(await customer.ledger(), replies)


async def race(
    deployment: Deployment,
    customer: Customer,
    mode: Mode,
    conversation: ConversationId,
    rival: Callable[[], Awaitable[None]],
) -> Heard:
    """What a client hears whose turn is about to be made durable when a rival comes before it."""
    path, body = mode.request(conversation)
    has_come: list[bool] = []
    coming = Lock()

    def decide(call: Call, forward: Forward) -> Answer | None:
        if call.operation == "TransactWriteItems":
            with coming:  # for whoever asks waits for the rival, the SDK's next attempt included
                if not has_come:
                    has_come.append(True)
                    anyio.run(rival)
        return forward()

    with proxy_of(deployment.url) as proxy, deployment.zygote.serving(store=proxy.url) as process:
        proxy.decide = decide
        async with customer.client(process) as client:
            return await listen(client, path, body, headers=mode.headers)
