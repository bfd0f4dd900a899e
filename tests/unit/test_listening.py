"""Who waits for a reply to be whole and leaves before it is."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message as Received

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import ModelError
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import Failed, Finished, TurnEvent
from parley.edge.leaving import unless_left
from parley.edge.listening import Listener
from parley.services.turns import Turn
from tests.support.clock import NOON

pytestmark = pytest.mark.anyio

REPLY = Message(
    id=MessageId(ConversationId(7), 2),
    role=Role.ASSISTANT,
    text="Hi",
    status=Status.COMPLETED,
    created_at=NOON,
)


class Told(Turn):
    """A turn that ends when it is told to, and notes who leaves it before."""

    def __init__(self) -> None:
        self.reply = REPLY
        self.logprobs = []
        self.ends: asyncio.Future[TurnEvent] = asyncio.get_running_loop().create_future()
        self.is_left = False

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        self.is_left = True
        event = await asyncio.shield(self.ends)
        self.is_left = False
        yield event


class Client:
    """A client that has sent its request, and leaves when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.request = Request({"type": "http", "headers": [], "state": {}}, self.receive)
        self.request.state.once = None

    async def wait_for(self, turn: Turn) -> Message:
        return await unless_left(self.request, Listener(self.request).reply(turn))

    async def receive(self) -> Received:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_who_waits_hears_how_the_turn_ended() -> None:
    turn = Told()
    turn.ends.set_result(Finished(REPLY))
    assert await Client().wait_for(turn) == REPLY


async def test_who_waits_hears_why_there_is_no_whole_reply() -> None:
    turn = Told()
    turn.ends.set_result(Failed(REPLY, ModelError("It broke.")))
    with pytest.raises(ModelError, match="It broke"):
        await Client().wait_for(turn)


async def test_a_client_that_leaves_leaves_the_turn() -> None:
    turn, client = Told(), Client()
    waiting = asyncio.create_task(client.wait_for(turn))
    await asyncio.sleep(0)
    client.leaves.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert turn.is_left


async def test_a_turn_that_has_ended_is_not_left() -> None:
    turn, client = Told(), Client()
    turn.ends.set_result(Finished(REPLY))
    client.leaves.set()
    assert await client.wait_for(turn) == REPLY
    assert not turn.is_left
