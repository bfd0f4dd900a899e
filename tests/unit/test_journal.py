"""Checkpoints are made when they are due, and no more of them."""

import pytest

from parley.adapters.memory import MemoryConversations
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import Checkpoint, TextDelta
from parley.services.turns.journal import Journal
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio

REPLY = MessageId(ConversationId(7), 2)


class SlowStore(MemoryConversations):
    """A store whose every write takes so long that the model says something meanwhile."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.journal: Journal

    async def checkpoint(self, tenant: str, reply: MessageId, checkpoint: Checkpoint) -> None:
        self.journal.add(TextDelta("meanwhile "))
        await super().checkpoint(tenant, reply, checkpoint)


async def test_what_is_said_while_a_checkpoint_is_made_waits_for_the_next(
    clock: ManualClock,
) -> None:
    store = SlowStore(clock)
    journal = store.journal = Journal(store, clock, "acme", REPLY, text_only=True)
    journal.add(TextDelta("first "))
    await journal.keep()
    [kept] = await store.checkpoints("acme", REPLY)
    assert kept.deltas == (TextDelta("first "),)
    await journal.keep()
    [_, kept] = await store.checkpoints("acme", REPLY)
    assert kept.deltas == (TextDelta("meanwhile "),)
