"""A turn whose process is killed at any moment: what was told is kept, and nothing is doubled."""

import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from threading import Event

import anyio
import httpx
import pytest

from parley.domain.conversations import Message, Status
from parley.domain.ids import ConversationId
from parley.domain.turns import CHECKPOINT_SECONDS
from tests.durability.effort import SEEDS, effort
from tests.support.deployment import (
    PAST_THE_LEASE,
    Customer,
    Deployment,
    check_counted_once,
    check_well_formed,
)
from tests.support.listening import Heard, listen, script, words
from tests.support.serving import Process
from tests.support.store_proxy import Answer, Call, Forward, proxy_of

pytestmark = pytest.mark.anyio

POINTS = effort(8, 50)
AT_ONCE = 8

SILENCE = 0.4
WORDS = [*words(75, wait=0.04), {"wait": SILENCE}, *words(10, wait=0.04, first=75)]
REPLY = "".join(step["text"] for step in WORDS if "text" in step)
BODY = {"stream": True, "content": script({"wait": SILENCE}, *WORDS)}
"""A turn of about four seconds, so of three checkpoints or four."""

SLACK_SECONDS = 1.5
"""By so much a checkpoint may be late on a busy test machine."""

MOMENTS = (
    "before the append",
    "after the append",
    "while the model is silent",
    "among the deltas",
    "before a checkpoint",
    "after a checkpoint",
    "before the settling",
    "after the settling",
    "after the end",
)


@dataclass
class Point:
    """When a process is killed, and what was known of its turn then."""

    moment: str
    chance: float
    """From 0 to 1: where within that moment."""
    conversation: ConversationId = field(init=False)
    heard: Heard = field(init=False)
    died_at: float | None = None
    kept: list[str] = field(default_factory=list)
    """What the checkpoints say that reached the table."""
    settled: bool = False

    @property
    def path(self) -> str:
        return f"/v1/chat/{self.conversation}"

    @property
    def key(self) -> Mapping[str, str]:
        return {"idempotency-key": f"say-it-in-{self.conversation}"}


class Killer:
    """Kills a process at its point, seen from between it and the store."""

    def __init__(self, point: Point) -> None:
        self.process: Process
        self.appended = Event()
        self._point = point
        self._checkpoints = 0

    def decide(self, call: Call, forward: Forward) -> Answer | None:
        """Let a call happen, or kill its sender before or after it."""
        name = self._name(call)
        if self._is_at("before", name):
            self.kill()
            return None
        answer = forward()
        if answer.status == 200:
            self._note(name, call)
        if self._is_at("after", name):
            self.kill()
            return None
        return answer

    def kill(self) -> None:
        """Kill the process; its point is now."""
        self.process.kill()
        self._point.died_at = time.monotonic()

    def _name(self, call: Call) -> str:
        match call.operation:
            case "TransactWriteItems" if any("ledger" in table.lower() for table in call.tables):
                return "the settling"
            case "TransactWriteItems":
                return "the append"
            case "PutItem" if "deltas" in call.arguments["Item"]:
                self._checkpoints += 1
                return "a checkpoint"
        return ""

    def _note(self, name: str, call: Call) -> None:
        match name:
            case "the append":
                self.appended.set()
            case "a checkpoint":
                self._point.kept += json.loads(call.arguments["Item"]["deltas"]["S"])
            case "the settling":
                self._point.settled = True

    def _is_at(self, side: str, name: str) -> bool:
        wanted = 1 if self._point.chance < 0.5 else 2
        return self._point.moment == f"{side} {name}" and (
            name != "a checkpoint" or self._checkpoints == wanted
        )


def points(seed: int) -> list[Point]:
    """So many points by chance, as evenly as that goes over the moments of a turn."""
    chance = random.Random(seed)  # noqa: S311 - it is to repeat itself
    moments = [*MOMENTS] * (POINTS // len(MOMENTS) + 1)
    chance.shuffle(moments)
    return [Point(moment, chance.random()) for moment in moments[:POINTS]]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_turn_keeps_what_was_told_and_is_never_doubled(
    deployment: Deployment, seed: int
) -> None:
    customer = await deployment.customer()
    killed = points(seed)
    limit = anyio.Semaphore(AT_ONCE)

    async def die(point: Point) -> None:
        async with limit:
            await kill_at(deployment, customer, point)

    async with anyio.create_task_group() as group:
        for point in killed:
            group.start_soon(die, point)
    replies = [
        reply
        for point in killed
        for reply in check(point, await customer.history(point.conversation))
    ]
    check_counted_once(await customer.ledger(), replies)
    await resume(deployment, customer, killed)
    await retry(deployment, customer, killed)


async def kill_at(deployment: Deployment, customer: Customer, point: Point) -> None:
    """Begin a turn and kill its process at the point."""
    point.conversation = await customer.conversation()
    killer = Killer(point)
    last = 1 + int(point.chance * (len(WORDS) - 2))

    def on_piece(number: int) -> None:
        if point.moment == "among the deltas" and number == last:
            killer.kill()

    with proxy_of(deployment.url) as proxy, deployment.zygote.serving(store=proxy.url) as process:
        killer.process = process
        proxy.decide = killer.decide
        async with customer.client(process) as client, anyio.create_task_group() as group:
            if point.moment == "while the model is silent":
                group.start_soon(kill_in_silence, killer, point.chance * SILENCE)
            point.heard = await listen(
                client, point.path, BODY, headers=point.key, on_piece=on_piece
            )
        if point.moment == "after the end":
            killer.kill()


async def kill_in_silence(killer: Killer, delay: float) -> None:
    await anyio.to_thread.run_sync(killer.appended.wait, 30)
    await anyio.sleep(delay)  # the moment by chance, nothing that could be waited for
    killer.kill()


def check(point: Point, history: Sequence[Message]) -> Sequence[Message]:
    """Assert that what is stored of a killed turn is whole as far as it goes; return its reply."""
    check_well_formed(history)
    assert point.died_at is not None, "the moment never came"
    assert REPLY.startswith(point.heard.text)
    if point.moment == "before the append":
        assert not history
        assert point.heard.status is None
        return []
    [question, reply] = history
    assert question.text == BODY["content"]
    assert point.heard.done or point.moment != "after the end"
    assert point.settled or not point.heard.done
    if point.settled:
        assert (reply.status, reply.text) == (Status.COMPLETED, REPLY)
        return [reply]
    assert (reply.status, reply.error) == (Status.INTERRUPTED, "interrupted")
    assert reply.text == "".join(point.kept)
    assert REPLY.startswith(reply.text)
    told = 0
    for at, piece in point.heard.pieces:
        told += len(piece)
        if told > len(reply.text):
            assert point.died_at - at <= CHECKPOINT_SECONDS + SLACK_SECONDS
            break
    return [reply]


async def resume(deployment: Deployment, customer: Customer, killed: Sequence[Point]) -> None:
    """Go on behind what was received: every client hears the rest, and how the reply has ended."""
    async with AsyncExitStack() as stack:
        process = stack.enter_context(deployment.zygote.serving(ahead=PAST_THE_LEASE))
        client = await stack.enter_async_context(customer.client(process))
        for point in killed:
            turn = point.heard.headers.get("x-parley-turn")
            if turn is None or point.heard.done:
                continue
            [_, reply] = await customer.history(point.conversation)
            path = f"/v1/turns/{turn}/events?starting_after={point.heard.events}"
            rest = await listen(client, path, None, method="GET")
            told = point.heard.text + rest.text
            assert told.startswith(reply.text)
            assert not rest.text or told == reply.text
            assert rest.error == reply.error
            assert rest.done == (reply.status is Status.COMPLETED)


async def retry(deployment: Deployment, customer: Customer, killed: Sequence[Point]) -> None:
    """Repeat every request in another process, when nobody takes its turn for alive any more."""
    again: dict[ConversationId, Heard] = {}

    async def repeat(client: httpx.AsyncClient, point: Point) -> None:
        again[point.conversation] = await listen(client, point.path, BODY, headers=point.key)

    with deployment.zygote.serving(ahead=PAST_THE_LEASE) as process:
        async with customer.client(process) as client, anyio.create_task_group() as group:
            for point in killed:
                group.start_soon(repeat, client, point)
    replies = []
    for point in killed:
        history = await customer.history(point.conversation)
        check_well_formed(history)
        [question, reply] = history
        assert question.text == BODY["content"]
        heard = again[point.conversation]
        assert heard.status == 200
        assert heard.text == reply.text
        assert heard.error == reply.error
        assert heard.done == (reply.status is Status.COMPLETED)
        replies.append(reply)
    check_counted_once(await customer.ledger(), replies)
