"""A small world in which turns run: stores in memory and a model that plays what a test gave it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime

from parley.adapters.memory import MemoryConversations
from parley.adapters.system import RandomIds
from parley.domain.conversations import (
    Conversation,
    FinishReason,
    Message,
    Parameters,
    Role,
    Usage,
)
from parley.domain.errors import InvalidRequest
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    ModelEvent,
    PromptMessage,
    TextDelta,
)
from parley.services.conversations import Conversations
from parley.services.turns import Turn, Turns
from tests.support.clock import ManualClock

COMPLETED = Completed(FinishReason.STOP, Usage(3, 2))
HELLO: tuple[ModelEvent, ...] = (Accepted(), TextDelta("Hel"), TextDelta("lo"), COMPLETED)
PROMPT = (PromptMessage(Role.USER, "Hi"),)
TENANT = Tenant(
    id="acme",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    models={"small": ModelRoute("played", "m-1"), "broken": ModelRoute("played", "m-2")},
)
CALLER = Caller(TENANT, "key_1", KeyKind.TEST)


class Played:
    """A model that plays what a test gave it, and waits where the test says so."""

    context_window = 1000

    def __init__(self) -> None:
        self.plays: tuple[ModelEvent | Exception | asyncio.Event, ...] = HELLO
        self.asked: list[CompletionRequest] = []
        self.closed = 0
        self.on_ask: Callable[[], None] = lambda: None

    def check(self, request: CompletionRequest) -> None:
        if "refuse" in request.messages[-1].text:
            raise InvalidRequest("No.", param="messages")

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        self.asked.append(request)
        self.on_ask()
        try:
            for step in self.plays:
                match step:
                    case asyncio.Event():
                        await step.wait()
                    case Exception():
                        raise step
                    case _:
                        yield step
        finally:
            self.closed += 1


class OnlyPlayed:
    def __init__(self, model: Played) -> None:
        self._model = model

    def serving(self, route: ModelRoute) -> Played:
        assert route.backend == "played"
        return self._model


class World:
    """The services over one store; `process` makes another process over the same."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.model = Played()
        self.store = MemoryConversations(self.clock)
        self.conversations = Conversations(self.store, self.clock, RandomIds())
        self.turns = self.process()

    def process(self) -> Turns:
        return Turns(
            self.store,
            OnlyPlayed(self.model),
            self.clock,
            RandomIds(),
            watch_seconds=0.01,
            settle_pauses=(0,),
        )

    async def chat(self, **fields: str) -> Conversation:
        return await self.conversations.create(CALLER, **fields)  # type: ignore[arg-type]

    async def say(self, conversation: Conversation, text: str = "Hi") -> Turn:
        return await self.turns.send(
            CALLER, conversation.id, dialect="test", text=text, parameters=Parameters()
        )

    async def complete(self) -> Turn:
        request = CompletionRequest(model="small", messages=PROMPT)
        return await self.turns.complete(CALLER, request, dialect="test")

    async def history(self, conversation: Conversation) -> tuple[Message, ...]:
        _, page = await self.conversations.history(CALLER, conversation.id, limit=1000)
        return page.items


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until something holds that nothing tells of."""
    async with asyncio.timeout(5):
        while not await holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
