"""Many who speak in one conversation at once: all are kept, or exactly one is let in."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import cycle
from typing import TypeVar

import anyio
import httpx

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
from tests.support.listening import script
from tests.support.serving import Process

T = TypeVar("T")

THREADS = 32
TURNS = effort(3, 20)
PROCESSES = 2
TRIES = 10
"""On a busy test machine so many may have to wait for each other longer than a request may take."""

ENDLESS = script({"text": "Well"}, {"wait": 600})


def test_many_threads_turns_are_all_kept_in_one_order(deployment: Deployment) -> None:
    customer = anyio.run(deployment.customer)
    conversation = anyio.run(customer.conversation)
    processes = [deployment.zygote.fork() for _ in range(PROCESSES)]

    def take_turns(caller: int, process: Process) -> list[tuple[str, str]]:
        with client_of(process, customer) as client:
            return [say(client, conversation, f"{caller}/{turn}") for turn in range(TURNS)]

    try:
        taken = at_once(
            [partial(take_turns, *each) for each in zip(range(THREADS), cycle(processes))]
        )
    finally:
        for process in processes:
            process.kill()
    history = read(customer, conversation)
    assert len(history) == 2 * THREADS * TURNS
    check_well_formed(history)
    assert {reply.status for reply in history[1::2]} == {Status.COMPLETED}
    said = [
        (question.text, reply.text)
        for question, reply in zip(history[::2], history[1::2], strict=True)
    ]
    assert sorted(said) == sorted(pair for pairs in taken for pair in pairs)
    assert all(reply.endswith(f"which says: {question}") for question, reply in said)
    for caller, pairs in enumerate(taken):  # each one's own come in the order they were said in
        assert [pair for pair in said if pair[0].startswith(f"{caller}/")] == pairs
    check_counted_once(anyio.run(customer.ledger), history[1::2])


def test_where_turns_come_one_at_a_time_exactly_one_of_many_is_let_in(
    deployment: Deployment,
) -> None:
    customer = anyio.run(partial(deployment.customer, one_at_a_time=True))
    conversation = anyio.run(customer.conversation)
    processes = [deployment.zygote.fork() for _ in range(PROCESSES)]
    try:
        for _ in range(effort(2, 10)):
            refused = contend(customer, conversation, processes)
            assert {answer.status_code for answer in refused} == {409}
            assert {answer.json()["error"]["code"] for answer in refused} == {"turn_in_progress"}
    finally:
        for process in processes:
            process.kill()
    history = read(customer, conversation)
    check_well_formed(history)
    assert [reply.status for reply in history[1::2]] == [Status.STOPPED] * effort(2, 10)
    check_counted_once(anyio.run(customer.ledger), history[1::2])


def contend(
    customer: Customer, conversation: ConversationId, processes: Sequence[Process]
) -> Sequence[httpx.Response]:
    """Ask many times at once for an endless reply; those refused, once the one let in has ended."""

    def ask(process: Process) -> httpx.Response:
        with client_of(process, customer) as client:
            return client.post(f"/v1/chat/{conversation}", json={"content": ENDLESS})

    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(ask, process) for _, process in zip(range(THREADS), cycle(processes))]
        answers = as_completed(asked, timeout=60)
        refused = [next(answers).result() for _ in range(THREADS - 1)]
        anyio.run(stop_newest, customer, conversation)
        assert next(answers).result().status_code == 201
    return refused


async def stop_newest(customer: Customer, conversation: ConversationId) -> None:
    scope = customer.caller.scope
    _, [reply] = await customer.store().get_with_newest(scope, conversation, 1)
    assert reply.status is Status.PENDING
    await customer.store().request_stop(scope, reply.id)


def test_a_dead_turn_lets_the_next_one_in_once_its_lease_is_over(deployment: Deployment) -> None:
    customer = anyio.run(partial(deployment.customer, one_at_a_time=True))
    conversation = anyio.run(customer.conversation)
    path = f"/v1/chat/{conversation}"
    with (
        deployment.zygote.serving() as dying,
        client_of(dying, customer) as client,
        client.stream("POST", path, json={"content": ENDLESS, "stream": True}) as answer,
    ):
        assert answer.status_code == 200
        dying.kill()
    with deployment.zygote.serving() as early, client_of(early, customer) as client:
        assert client.post(path, json={"content": "Too early"}).status_code == 409
    with (
        deployment.zygote.serving(ahead=PAST_THE_LEASE) as later,
        client_of(later, customer) as client,
    ):
        say(client, conversation, "Anybody there?")
    history = read(customer, conversation)
    check_well_formed(history)
    assert [reply.status for reply in history[1::2]] == [Status.INTERRUPTED, Status.COMPLETED]
    check_counted_once(anyio.run(customer.ledger), history[1::2])


def say(client: httpx.Client, conversation: ConversationId, text: str) -> tuple[str, str]:
    """Say something, as clients do that try again where a server is busy; it and the answer."""
    key = {"idempotency-key": text.replace(" ", "-")}
    for _ in range(TRIES):
        response = client.post(f"/v1/chat/{conversation}", json={"content": text}, headers=key)
        if response.status_code != 503:
            break
    assert response.status_code == 201, response.text
    return text, response.json()["content"]


def client_of(process: Process, customer: Customer) -> httpx.Client:
    headers = {"authorization": f"Bearer {customer.key}"}
    return httpx.Client(base_url=process.url, headers=headers, timeout=60)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What calls return that are made at once, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def read(customer: Customer, conversation: ConversationId) -> Sequence[Message]:
    return anyio.run(customer.history, conversation)
