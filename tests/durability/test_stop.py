"""A turn that is stopped, or whose client leaves: it ends for everybody, and is kept so far."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from parley.domain.conversations import Message, Status
from parley.domain.ids import MessageId
from parley.domain.turns import CHECKPOINT_SECONDS
from tests.support.deployment import Customer, Deployment, check_counted_once, check_well_formed
from tests.support.elsewhere import FIRST, SECOND, model_elsewhere
from tests.support.listening import Heard, listen, note, script, words
from tests.support.zygote import WHOLE_STACK

pytestmark = pytest.mark.anyio

ENDLESS = script(*words(20, wait=0.01), {"wait": 600}, {"text": "never"})
SAID = "".join(f"w{number} " for number in range(20))
PATIENCE_SECONDS = 20
"""On a busy test machine; an idle one needs little more than `CHECKPOINT_SECONDS`."""


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, path: str, body: dict[str, object] | None, *, pieces: int = 20
) -> AsyncIterator[Heard]:
    """A client that has heard so many pieces when the block begins, and all when it has ended."""
    heard = Heard()
    has_heard = anyio.Event()

    def on_piece(number: int) -> None:
        if number == pieces:
            has_heard.set()

    async def hear() -> None:
        method = "GET" if body is None else "POST"
        await listen(client, path, body, method=method, on_piece=on_piece, into=heard)

    with anyio.fail_after(CHECKPOINT_SECONDS + 2 * PATIENCE_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            await has_heard.wait()
            yield heard


async def test_a_stop_ends_a_turn_for_everybody_who_hears_it(deployment: Deployment) -> None:
    """One process runs the turn; at another it is stopped, and heard by a second client."""
    customer, stranger = await deployment.customer(), await deployment.customer()
    conversation = await customer.conversation()
    body = {"content": ENDLESS, "stream": True}
    with deployment.zygote.serving() as here, deployment.zygote.serving(WHOLE_STACK) as there:
        async with (
            customer.client(here) as one,
            customer.client(there) as other,
            stranger.client(there) as nobody,
            listening(one, f"/v1/chat/{conversation}", body) as first,
        ):
            turn = first.headers["x-parley-turn"]
            async with listening(other, f"/v1/turns/{turn}/events", None) as second:
                assert (await nobody.post(f"/v1/turns/{turn}/stop")).status_code == 404
                [_, pending] = await customer.history(conversation, ahead=0)
                assert pending.status is Status.PENDING
                assert (await other.post(f"/v1/turns/{turn}/stop")).status_code == 200
    for heard in (first, second):
        assert (heard.text, heard.done, heard.error) == (SAID, True, None)
    history = await customer.history(conversation)
    check_well_formed(history)
    [_, reply] = history
    assert (reply.status, reply.text) == (Status.STOPPED, SAID)
    check_counted_once(await customer.ledger(), [reply])


async def test_a_completion_whose_client_leaves_is_cancelled_and_counted(
    deployment: Deployment,
) -> None:
    customer = await deployment.customer()
    messages = [{"role": "user", "content": ENDLESS}]
    body = {"model": "any", "messages": messages, "stream": True}
    with deployment.zygote.serving() as here:
        async with customer.client(here) as client:
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                turn = turn_of(response.headers)
            reply = await ended(customer, turn)
    assert reply.status is Status.STOPPED
    assert SAID.startswith(reply.text)
    check_counted_once(await customer.ledger(), [reply])


async def test_a_completion_with_a_key_whose_client_leaves_is_whole_when_it_comes_back(
    deployment: Deployment,
) -> None:
    """One without a key, that is left after it, shows when its process has heard of both."""
    key = {"idempotency-key": "k"}
    path = "/v1/chat/completions"
    body = {"model": "any", "messages": [{"role": "user", "content": "Go on"}], "stream": True}
    heard: list[Heard] = []
    with (
        model_elsewhere() as model,
        deployment.zygote.serving() as here,
        deployment.zygote.serving() as there,
    ):
        customer = await deployment.customer(model=model.route)
        async with customer.client(here) as one, customer.client(there) as other:
            turn = await leave(one, path, body, key)
            stopped = await ended(customer, await leave(one, path, body, {}))
            async with anyio.create_task_group() as group:

                async def repeat() -> None:
                    heard.append(await listen(other, path, body, headers=key))

                group.start_soon(repeat)
                pending = await customer.store().get_completion(customer.caller.scope, turn)
                assert pending.status is Status.PENDING
                model.goes_on.set()
            heard += [await listen(each, path, body, headers=key) for each in (one, other)]
    reply = await customer.completion(turn)
    assert (reply.status, reply.text) == (Status.COMPLETED, FIRST + SECOND)
    assert stopped.status is Status.STOPPED
    for each in heard:
        assert turn_of(each.headers) == turn
        assert (each.text, each.done) == (reply.text, True)
    assert model.asked == 2
    check_counted_once(await customer.ledger(), [reply, stopped])


async def leave(
    client: httpx.AsyncClient, path: str, body: dict[str, object], headers: dict[str, str]
) -> MessageId:
    """Ask for a completion and leave behind its first word; which it is."""
    async with client.stream("POST", path, json=body, headers=headers) as response:
        heard = Heard()
        async for line in response.aiter_lines():
            note(heard, line)
            if heard.pieces:
                break
    return turn_of(response.headers)


def turn_of(headers: Mapping[str, str]) -> MessageId:
    """Which completion an answer is about."""
    return MessageId.parse(headers["x-parley-turn"].removeprefix("chatcmpl-"))


async def ended(customer: Customer, turn: MessageId) -> Message:
    """A reply once it has ended."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            reply = await customer.store().get_completion(customer.caller.scope, turn)
            if reply.status is not Status.PENDING:
                return reply
            await anyio.sleep(0.02)
