"""A model behind a server of its own, which outlives whoever asks it and counts how often."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from parley.domain.routes import ModelRoute
from tests.support.openai_server import DONE, chunk, usage
from tests.support.upstream import SSE, Exchange, Upstream, upstream_beside

FIRST, SECOND = "one ", "two "


@dataclass(frozen=True)
class ModelElsewhere:
    """A model that says `FIRST`, and `SECOND` as soon as it is let."""

    goes_on: Event
    _server: Upstream

    @property
    def route(self) -> ModelRoute:
        """The way to it."""
        return ModelRoute("openai_compatible", "any", base_url=self._server.url)

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return len(self._server.requests)


@contextmanager
def model_elsewhere() -> Iterator[ModelElsewhere]:
    """A model for the length of a block."""
    goes_on = Event()

    async def reply(exchange: Exchange) -> None:
        await exchange.begin(SSE)
        await exchange.send(chunk({"role": "assistant", "content": FIRST}))
        await asyncio.to_thread(goes_on.wait)
        await exchange.send(chunk({"content": SECOND}), chunk({}, "stop"), usage(3, 2), DONE)
        await exchange.end()

    with upstream_beside(reply) as server:
        try:
            yield ModelElsewhere(goes_on, server)
        finally:
            goes_on.set()
