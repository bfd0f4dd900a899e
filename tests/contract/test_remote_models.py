"""What every back end promises whose model is elsewhere: connections, silence and leaving."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from parley.adapters.models.bedrock import BedrockModel, connect_to_bedrock
from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.domain.conversations import FinishReason
from parley.domain.errors import ModelUnavailable
from parley.domain.routes import TimeLimits
from parley.domain.turns import Accepted, Completed, TextDelta
from parley.ports import Model
from tests.support import bedrock_server, openai_server
from tests.support.models import ask, prompt, until_failure
from tests.support.upstream import SSE, Exchange, Respond, Upstream, play, upstream

pytestmark = pytest.mark.anyio

SHORT = 0.05
LONG = 30.0

PROMPTLY = 0.1
"""Seconds within which a server must know that nobody listens any more."""


@dataclass(frozen=True)
class Remote:
    """A back end, and what its servers send."""

    made: Callable[..., AbstractAsyncContextManager[Model]]
    """Makes the model for a server's URL and for `limits`."""
    headers: Mapping[str, str]
    begin: tuple[bytes, ...]
    """Something, and nothing said yet."""
    hello: tuple[bytes, ...]
    """Up to the first piece of text."""
    stop: tuple[bytes, ...]
    """The end of the reply, without its usage."""
    usage: tuple[bytes, ...]

    @property
    def whole(self) -> tuple[bytes, ...]:
        return (*self.hello, *self.stop, *self.usage)

    def playing(self, *pieces: bytes, hang: bool = False) -> Respond:
        return play(*pieces, headers=self.headers, hang=hang)

    @asynccontextmanager
    async def served(
        self, respond: Respond, limits: TimeLimits | None = None
    ) -> AsyncIterator[tuple[Model, Upstream]]:
        async with upstream(respond) as server, self.made(server.url, limits) as model:
            yield model, server


@asynccontextmanager
async def bedrock(url: str, limits: TimeLimits | None) -> AsyncIterator[BedrockModel]:
    client = connect_to_bedrock(session=bedrock_server.SESSION, endpoint_url=url, limits=limits)
    more: dict[str, Any] = {"limits": limits} if limits else {}
    yield BedrockModel(context_window=4096, connect=lambda: client, **more)


@asynccontextmanager
async def openai_compatible(
    url: str, limits: TimeLimits | None
) -> AsyncIterator[OpenAICompatibleModel]:
    more: dict[str, Any] = {"limits": limits} if limits else {}
    model = OpenAICompatibleModel(url, context_window=4096, **more)
    yield model
    await model.aclose()


_begin = bedrock_server.event("messageStart", role="assistant")
_empty = openai_server.chunk({"role": "assistant", "content": ""})

REMOTES = {
    "bedrock": Remote(
        bedrock,
        bedrock_server.STREAM,
        begin=(_begin,),
        hello=(_begin, bedrock_server.delta(text="Hello")),
        stop=(
            bedrock_server.stop(),
            bedrock_server.event("messageStop", stopReason="end_turn"),
        ),
        usage=(bedrock_server.metadata(3, 1),),
    ),
    "openai_compatible": Remote(
        openai_compatible,
        SSE,
        begin=(_empty,),
        hello=(_empty, openai_server.chunk({"content": "Hello"})),
        stop=(openai_server.chunk({}, "stop"),),
        usage=(openai_server.usage(3, 1), openai_server.DONE),
    ),
}


@pytest.fixture(params=REMOTES)
def remote(request: pytest.FixtureRequest) -> Remote:
    return REMOTES[request.param]


# Connections ---------------------------------------------------------------------------------


async def test_a_connection_is_used_again(remote: Remote) -> None:
    async with remote.served(remote.playing(*remote.whole)) as (model, server):
        for _ in range(3):
            await ask(model, "Hello.")

        assert len(server.requests) == 3
        assert server.connections == 1


async def test_a_server_that_is_not_there_is_unavailable(remote: Remote) -> None:
    async with upstream(remote.playing()) as server:
        gone = server.url

    async with remote.made(gone, None) as model:
        with pytest.raises(ModelUnavailable):
            await ask(model, "Hello.")


async def test_a_server_that_hangs_up_is_unavailable(remote: Remote) -> None:
    async def hang_up(exchange: Exchange) -> None:
        pass

    async with remote.served(hang_up) as (model, _):
        _, failure = await until_failure(model)

    assert type(failure) is ModelUnavailable


# How long it takes ---------------------------------------------------------------------------


async def test_a_silence_before_the_first_token_is_an_error(remote: Remote) -> None:
    limits = TimeLimits(first_token=SHORT, between_tokens=LONG)
    for pieces in ((), remote.begin):
        async with remote.served(remote.playing(*pieces, hang=True), limits) as (model, _):
            seen, failure = await until_failure(model)

        assert seen == []
        assert type(failure) is ModelUnavailable


async def test_a_silence_between_tokens_is_an_error(remote: Remote) -> None:
    limits = TimeLimits(first_token=LONG, between_tokens=SHORT)
    async with remote.served(remote.playing(*remote.hello, hang=True), limits) as (model, _):
        seen, failure = await until_failure(model)

    assert seen == [Accepted(), TextDelta("Hello")]
    assert type(failure) is ModelUnavailable


async def test_a_silence_behind_the_end_loses_no_more_than_the_usage(remote: Remote) -> None:
    limits = TimeLimits(first_token=LONG, between_tokens=LONG, usage=SHORT)
    silent = remote.playing(*remote.hello, *remote.stop, hang=True)
    async with remote.served(silent, limits) as (model, _):
        read = await ask(model, "Hello.")

    assert read.events[-1] == Completed(FinishReason.STOP, None)


async def test_the_time_a_caller_takes_is_not_the_servers(remote: Remote) -> None:
    limits = TimeLimits(between_tokens=SHORT)
    async with remote.served(remote.playing(*remote.whole), limits) as (model, _):
        events = model.complete(prompt("Hello."))
        assert [await anext(events), await anext(events)] == [Accepted(), TextDelta("Hello")]
        await asyncio.sleep(2 * SHORT)  # the caller's work
        assert isinstance(await anext(events), Completed)
        await events.aclose()


# Leaving -------------------------------------------------------------------------------------


async def seconds_until_left(model: Model, server: Upstream) -> float:
    """How long a server is still asked for a reply after the task that asks was cancelled."""
    asking = asyncio.create_task(ask(model, "Hello."))
    exchange = await server.exchanges.get()
    await asyncio.sleep(SHORT)  # the answer is under way

    began = time.monotonic()
    asking.cancel()
    await exchange.left.wait()
    took = time.monotonic() - began

    await asyncio.wait({asking})
    assert asking.cancelled()
    return took


async def test_cancelling_leaves_the_server_at_once(remote: Remote) -> None:
    for pieces in (remote.begin, remote.hello):
        async with remote.served(remote.playing(*pieces, hang=True)) as (model, server):
            took = [await seconds_until_left(model, server) for _ in range(3)]

        assert min(took) < PROMPTLY  # a busy machine may be late now and then


async def test_closing_leaves_the_server_at_once(remote: Remote) -> None:
    async with remote.served(remote.playing(*remote.hello, hang=True)) as (model, server):
        took = []
        for _ in range(3):
            events = model.complete(prompt("Hello."))
            assert [await anext(events), await anext(events)] == [Accepted(), TextDelta("Hello")]
            exchange = await server.exchanges.get()
            began = time.monotonic()
            await events.aclose()
            await exchange.left.wait()
            took.append(time.monotonic() - began)

    assert min(took) < PROMPTLY
