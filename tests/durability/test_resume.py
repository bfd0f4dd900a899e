"""A stream whose client is cut off anywhere: what it is told on is, byte for byte, the rest."""

import json
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest

from parley.domain.conversations import Status
from tests.durability.effort import FIRST_SEED, effort
from tests.support.deployment import (
    Customer,
    Deployment,
    check_counted_once,
    check_well_formed,
)
from tests.support.listening import script, words
from tests.support.live_chat import LiveChat, cut
from tests.support.serving import Process
from tests.support.zygote import WHOLE_STACK

pytestmark = pytest.mark.anyio

TOKENS = 200
REPLY = "".join(f"w{number} " for number in range(TOKENS))
SLOW = script(*words(TOKENS, wait=0.02))
QUICK = script(*words(TOKENS, wait=0.005))

AT_ONCE = 8


@dataclass(frozen=True)
class Route:
    """A route that streams."""

    path: str
    body: Callable[[str], dict[str, Any]]
    """What asks for the reply that a script makes."""


async def session(customer: Customer) -> Route:
    """A new conversation, where it is spoken in."""
    conversation = await customer.conversation()
    return Route(
        f"/v1/chat/{conversation}",
        lambda content: {"content": content, "stream": True},
    )


async def completion(customer: Customer) -> Route:
    """Where completions are asked for whose prompt the client keeps."""
    return Route(
        "/v1/chat/completions",
        lambda content: {
            "model": "any",
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )


async def events_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """A stream's events with data, byte for byte, as soon as each is whole."""
    pending = b""
    async for chunk in response.aiter_raw():
        *whole, pending = (pending + chunk).split(b"\n\n")
        for event in whole:
            lines = [line for line in event.split(b"\n") if not line.startswith(b":")]
            yield b"\n".join(lines)


async def resume(
    client: httpx.AsyncClient, turn: str, received: int, *, most: int | None = None
) -> list[bytes]:
    """What a turn's stream has behind the events received; at most so many, then cut it off."""
    events: list[bytes] = []
    path = f"/v1/turns/{turn}/events"
    async with client.stream("GET", path, params={"starting_after": received}) as response:
        assert response.status_code == 200
        assert response.headers["x-parley-turn"] == turn
        async for event in events_of(response):
            events.append(event)
            if len(events) == most:
                break
    return events


def text_of(events: list[bytes]) -> str:
    """What the chunks among these events say."""
    chunks = [
        json.loads(line.removeprefix(b"data: "))
        for event in events
        for line in event.split(b"\n")
        if line.startswith(b"data: {")
    ]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


@pytest.mark.parametrize("route_of", [session, completion])
async def test_a_client_cut_off_again_and_again_hears_every_byte_once(
    deployment: Deployment, route_of: Callable[[Customer], Any]
) -> None:
    """It hears a few events, is cut off, and goes on with another process: while the turn runs."""
    customer = await deployment.customer()
    route = await route_of(customer)
    chance = random.Random(FIRST_SEED)  # noqa: S311 - it is to repeat itself
    first: list[bytes] = []
    heard: list[bytes] = []
    with deployment.zygote.serving() as here, deployment.zygote.serving() as there:
        async with (
            customer.client(here) as one,
            customer.client(there) as other,
            one.stream("POST", route.path, json=route.body(SLOW)) as response,
            anyio.create_task_group() as group,
        ):
            turn = response.headers["x-parley-turn"]

            async def hear_all() -> None:
                first.extend([event async for event in events_of(response)])

            group.start_soon(hear_all)
            while not heard or b"[DONE]" not in heard[-1]:
                most = effort(chance.randint(5, 20), 1)
                heard += await resume(other, turn, len(heard), most=most)
    assert heard == first
    assert text_of(heard) == REPLY


@pytest.mark.parametrize("route_of", [session, completion])
async def test_a_turn_that_has_ended_is_told_on_from_every_event(
    deployment: Deployment, route_of: Callable[[Customer], Any]
) -> None:
    customer = await deployment.customer()
    route = await route_of(customer)
    with deployment.zygote.serving() as here:
        async with (
            customer.client(here) as client,
            client.stream("POST", route.path, json=route.body(QUICK)) as response,
        ):
            turn = response.headers["x-parley-turn"]
            first = [event async for event in events_of(response)]
    assert text_of(first) == REPLY
    limit = anyio.Semaphore(AT_ONCE)

    async def check(client: httpx.AsyncClient, received: int) -> None:
        async with limit:
            assert await resume(client, turn, received) == first[received:]

    with deployment.zygote.serving() as there:
        async with customer.client(there) as client, anyio.create_task_group() as group:
            for received in range(0, len(first) + 2, effort(7, 1)):
                group.start_soon(check, client, received)


@pytest.mark.parametrize(
    ("route_of", "rules"),
    [(session, {}), (completion, {"completions_run_on": True})],
    ids=["session", "completion"],
)
async def test_a_turn_runs_on_for_a_client_who_comes_back(
    deployment: Deployment, route_of: Callable[[Customer], Any], rules: dict[str, Any]
) -> None:
    """The only client there is is cut off at some event; what follows is told to it later."""
    customer = await deployment.customer(**rules)
    limit = anyio.Semaphore(AT_ONCE)
    total = TOKENS + 3
    chance = random.Random(FIRST_SEED)  # noqa: S311 - it is to repeat itself
    cuts = effort(sorted(chance.sample(range(total), 5)), range(total))

    async def lose_and_find(one: httpx.AsyncClient, other: httpx.AsyncClient, cut: int) -> None:
        async with limit:
            route = await route_of(customer)
            before: list[bytes] = []
            async with one.stream("POST", route.path, json=route.body(QUICK)) as response:
                turn = response.headers["x-parley-turn"]
                if cut:
                    async for event in events_of(response):
                        before.append(event)
                        if len(before) == cut:
                            break
            after = await resume(other, turn, cut)
            assert text_of(before + after) == REPLY
            assert before + after == await resume(other, turn, 0)

    with deployment.zygote.serving() as here, deployment.zygote.serving() as there:
        async with (
            customer.client(here) as one,
            customer.client(there) as other,
            anyio.create_task_group() as group,
        ):
            for cut in cuts:
                group.start_soon(lose_and_find, one, other, cut)
    ledger = await customer.ledger()
    assert [line.status for line in ledger] == [Status.COMPLETED] * len(cuts)


async def test_who_repeats_a_request_meanwhile_hears_the_same_bytes(deployment: Deployment) -> None:
    customer = await deployment.customer()
    conversation = await customer.conversation()
    path, body = f"/v1/chat/{conversation}", {"content": SLOW, "stream": True}
    heard: list[list[bytes]] = []

    async def say(process: Process) -> None:
        async with (
            customer.client(process) as client,
            client.stream("POST", path, json=body, headers={"idempotency-key": "k"}) as response,
        ):
            assert response.status_code == 200
            heard.append([event async for event in events_of(response)])

    with deployment.zygote.serving() as here, deployment.zygote.serving() as there:
        async with anyio.create_task_group() as group:
            for process in (here, there, here, there):
                group.start_soon(say, process)
        await say(there)
    assert heard == [heard[0]] * 5
    assert text_of(heard[0]) == REPLY
    history = await customer.history(conversation)
    check_well_formed(history)
    [_, reply] = history
    check_counted_once(await customer.ledger(), [reply])


# Over a WebSocket ---------------------------------------------------------------------------------


def test_a_live_chat_cut_off_at_every_event_tells_each_of_them_once(deployment: Deployment) -> None:
    """One client is cut off at every event, while another isn't; then more come later."""
    customer = anyio.run(deployment.customer)
    with deployment.zygote.serving(WHOLE_STACK) as process, ThreadPoolExecutor() as pool:
        chat = LiveChat(process, customer)
        with chat.connect() as steady:
            begun = json.loads(steady.recv(60))["seq"]
            hearing = pool.submit(lambda: chat.hear(steady, begun))
            steady.send(json.dumps({"content": SLOW}))
            heard: list[dict[str, Any]] = []
            while not heard or heard[-1]["type"] != "message_stream_ended":
                last_seen = heard[-1]["seq"] if heard else begun
                connection = chat.connect(last_seen)
                heard.append(next(chat.events(connection, last_seen)))
                cut(connection)
            check_told_once(chat, heard)
            everything = hearing.result(60)
        check_told_once(chat, everything)
        for number in range(0, len(everything) - 1, effort(8, 1)):
            last_seen = everything[number]["seq"]
            with chat.connect(last_seen) as connection:
                rest = chat.hear(connection, last_seen)
            check_told_once(chat, everything[: number + 1] + rest)


def check_told_once(chat: LiveChat, heard: list[dict[str, Any]]) -> None:
    said = "".join(each["content"] for each in heard if each["type"] == "message_stream_token")
    assert said == REPLY
    assert len({event["seq"] for event in heard}) == len(heard)
    [question, reply] = chat.messages()
    assert question["content"] == SLOW
    assert reply["content"] == REPLY
    told = [event["message_id"] for event in heard if event["type"] == "message_stream_ended"]
    assert told == [reply["message_id"]]
