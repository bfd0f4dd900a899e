"""A message that is said again over a WebSocket, with the id its client gave it: it is one turn."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, product
from threading import Event
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from parley.domain.conversations import Message, Status
from parley.domain.ids import ConversationId
from tests.durability.effort import effort
from tests.support.deployment import (
    PAST_THE_LEASE,
    Customer,
    Deployment,
    check_counted_once,
    check_well_formed,
)
from tests.support.elsewhere import FIRST, SECOND, ModelElsewhere, model_elsewhere
from tests.support.live_chat import LiveChat, cut
from tests.support.serving import Address, Process
from tests.support.store_proxy import Answer, Call, Forward, proxy_of
from tests.support.zygote import WHOLE_STACK

TEXT = "Say it once"
SAID = json.dumps({"content": TEXT, "message_id": "mine"})
REPLY = FIRST + SECOND

PATIENCE_SECONDS = 60

RULES: list[dict[str, Any]] = [{}, {"one_at_a_time": True}]


def with_rules(*moments: str) -> Sequence[tuple[str, dict[str, Any]]]:
    """Each of these moments with each of the rules; in the short run with one of them in turn."""
    return effort([*zip(moments, cycle(RULES))], [*product(moments, RULES)])


@pytest.fixture
def model() -> Iterator[ModelElsewhere]:
    with model_elsewhere() as model:
        yield model


@dataclass
class Moment:
    """What becomes of a process's call of the store, seen from between them."""

    name: str
    """A side of a call: `before the append`, `after the claim` and so on."""
    has_come: Event = field(default_factory=Event)
    is_over: Event = field(default_factory=Event)
    victim: Process | None = None
    """Who is killed at that moment; None only waits until the moment is over."""
    late: Answer | None = None
    """What the store said to a call that arrived when its sender was dead."""

    def decide(self, call: Call, forward: Forward) -> Answer | None:
        """Let a call happen; at the moment, not before it is over."""
        side, _, wanted = self.name.partition(" ")
        if self.has_come.is_set() or _name(call) != wanted:
            return forward()
        answer = forward() if side == "after" else None
        if self.victim is not None:
            self.victim.kill()
        self.has_come.set()
        if self.victim is not None and side != "late":
            return None
        assert self.is_over.wait(PATIENCE_SECONDS)
        if side == "late":
            self.late = forward()
            return None
        return answer or forward()

    def wait(self) -> None:
        """Return when it has come."""
        assert self.has_come.wait(PATIENCE_SECONDS)


def _name(call: Call) -> str:
    """What a call is for, as far as it matters here."""
    match call.operation:
        case "TransactWriteItems" if any("ledger" in table.lower() for table in call.tables):
            return "the settling"
        case "TransactWriteItems" if b":counted" in call.body:
            return "the append"
        case "PutItem" if call.arguments["Item"]["sk"]["S"].startswith("claim#"):
            return "the claim"
    return ""


# The client -------------------------------------------------------------------------------------


class Client:
    """Who says something in a live chat, and notes what it is told, once."""

    def __init__(self, chat: LiveChat) -> None:
        """Connect and wait until all is quiet."""
        self.heard: list[dict[str, Any]] = []
        self._chat = chat
        self.connect()
        self.until("user_created")

    def connect(self, *, at: Process | None = None) -> None:
        """Connect, to be told from now on what wasn't heard yet."""
        last_seen = self.heard[-1]["seq"] if self.heard else None
        self._connection: ClientConnection = self._chat.connect(last_seen, at=at)
        self._events = self._chat.events(self._connection, last_seen or 0)

    def say(self, frame: str = SAID) -> None:
        """Say something, and wait for nothing."""
        self._connection.send(frame)

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Hear on until this comes."""
        while True:
            event = next(self._events)
            self.heard.append(event)
            if event["type"] == kind and fields.items() <= event.items():
                return event

    def lose(self) -> None:
        """Hear that the connection has broken."""
        with suppress(ConnectionClosed):
            while True:
                self.heard.append(next(self._events))

    def cut_off(self) -> None:
        """Lose the connection."""
        cut(self._connection)
        self.lose()


def check_one_turn(
    client: Client, customer: Customer, conversation: str, model: ModelElsewhere, status: Status
) -> None:
    """Say it once more; assert that it is one turn for all that, counted once, and told once."""
    reply = stored_reply(customer, conversation)
    client.say()
    client.until("message_received", client_message_id="mine")
    assert stored_reply(customer, conversation) == reply
    assert reply.status is status
    check_counted_once(anyio.run(customer.ledger), [reply])
    told = [event for event in client.heard if event["message_id"] == str(reply.id)]
    said = "".join(event["content"] for event in told if event["type"] == "message_stream_token")
    assert len({event["seq"] for event in client.heard}) == len(client.heard)
    ends = [event["type"] for event in told if event["type"] in {"message_stream_ended", "error"}]
    if status is Status.COMPLETED:
        assert (reply.text, said, ends) == (REPLY, REPLY, ["message_stream_ended"])
        assert model.asked == 1
    else:
        assert REPLY.startswith(reply.text)
        assert REPLY.startswith(said)
        assert ends == ["error"]
        assert model.asked <= 1


def stored_reply(customer: Customer, conversation: str) -> Message:
    history = anyio.run(customer.history, ConversationId.parse(conversation))
    check_well_formed(history)
    [question, reply] = history
    assert question.text == TEXT
    return reply


# The proofs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "rules"), with_rules("before", "after"))
def test_a_client_cut_off_before_it_was_told_says_it_again(
    deployment: Deployment, model: ModelElsewhere, side: str, rules: dict[str, Any]
) -> None:
    """It is back while the first one is on its way, and again while the reply is being made."""
    customer = anyio.run(partial(deployment.customer, model=model.route, **rules))
    moment = Moment(f"{side} the append")
    with (
        proxy_of(deployment.url) as proxy,
        deployment.zygote.serving(WHOLE_STACK, store=proxy.url) as process,
    ):
        chat = LiveChat(process, customer)
        client = Client(chat)
        proxy.decide = moment.decide
        client.say()
        moment.wait()
        client.cut_off()
        client.connect()
        client.say()
        moment.is_over.set()
        received = [client.until("message_received") for _ in range(2)]
        assert received[0]["message_id"] == received[1]["message_id"]
        client.until("message_stream_token")
        client.say(json.dumps({"content": "Something else", "message_id": "mine"}))
        client.until("error", code="idempotency_key_reused")
        if rules:
            client.say(json.dumps({"content": TEXT, "message_id": "another"}))
            client.until("error", code="turn_in_progress")
        client.say()
        client.until("message_received")
        model.goes_on.set()
        client.until("message_stream_ended")
        check_one_turn(client, customer, chat.id, model, Status.COMPLETED)


@pytest.mark.parametrize(("side", "rules"), with_rules("late", "after", "before"))
def test_a_message_whose_process_died_is_taken_once_by_another(
    deployment: Deployment, model: ModelElsewhere, side: str, rules: dict[str, Any]
) -> None:
    """It dies before it has made the message durable, or after, or what it wrote arrives late."""
    customer = anyio.run(partial(deployment.customer, model=model.route, **rules))
    moment = Moment(f"{side} the append")
    with (
        proxy_of(deployment.url) as proxy,
        deployment.zygote.serving(WHOLE_STACK, store=proxy.url) as dying,
        deployment.zygote.serving(WHOLE_STACK) as another,
    ):
        chat = LiveChat(dying, customer)
        client = Client(chat)
        moment.victim = dying
        proxy.decide = moment.decide
        client.say()
        client.lose()
        client.connect(at=another)
        client.say()
        client.until("message_stream_token")
        moment.is_over.set()
        model.goes_on.set()
        client.until("message_stream_ended")
        check_one_turn(client, customer, chat.id, model, Status.COMPLETED)
    if side == "late":
        assert moment.late is not None
        assert moment.late.status == 400


WORKERS_ENDS = {
    "before the claim": Status.COMPLETED,
    "after the claim": Status.INTERRUPTED,
    "among the tokens": Status.INTERRUPTED,
    "before the settling": Status.INTERRUPTED,
    "after the settling": Status.COMPLETED,
}
"""When a worker is killed, and how the turn ends that is asked for again."""


@pytest.mark.parametrize(("name", "rules"), with_rules(*WORKERS_ENDS))
def test_a_message_whose_worker_died_is_never_answered_twice(
    deployment: Deployment, model: ModelElsewhere, name: str, rules: dict[str, Any]
) -> None:
    """Its client stays connected and says it again, and is told how it has ended."""
    customer = anyio.run(partial(deployment.customer, model=model.route, **rules))
    fork = deployment.zygote.fork
    moment = Moment(name)
    with proxy_of(deployment.url) as proxy, Address() as workers:
        gateway = fork(WHOLE_STACK, workers=workers)
        dying = fork(WHOLE_STACK, store=proxy.url, address=workers, gateway=gateway)
        chat = LiveChat(gateway, customer)
        client = Client(chat)
        moment.victim = dying
        proxy.decide = moment.decide
        client.say()
        if name in {"among the tokens", "before the settling", "after the settling"}:
            client.until("message_stream_token")
        if name == "among the tokens":
            dying.kill()
        else:
            model.goes_on.set()
            moment.wait()
        client.say()
        ahead = 0 if name == "before the claim" else PAST_THE_LEASE
        another = fork(WHOLE_STACK, address=workers, gateway=gateway, ahead=ahead)
        status = WORKERS_ENDS[name]
        if status is Status.COMPLETED:
            client.until("message_stream_ended")
        else:
            client.until("error", code="interrupted")
        check_one_turn(client, customer, chat.id, model, status)
    for process in (another, gateway):
        process.kill()
