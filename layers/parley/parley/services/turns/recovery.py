"""Ends turns whose function died: found where they are read, so that no sweeper is needed."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from parley.domain.conversations import Message, Scope, Status
from parley.domain.errors import Interrupted
from parley.domain.turns import LEASE_SECONDS, UsageRecord
from parley.ports import Clock, ConversationStore
from parley.services.turns.deltas import Assembly

INTERRUPTED = "The reply was interrupted before its end. What there was of it is kept."


class Recovery:
    """Settles replies that are pending with nobody at work on them any more."""

    def __init__(self, store: ConversationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def mend_all(self, tenant: str, messages: Iterable[Message]) -> tuple[Message, ...]:
        """These messages as they are once no turn among them is one of the dead."""
        return tuple(await asyncio.gather(*(self.mend(tenant, message) for message in messages)))

    async def mend(self, tenant: str, message: Message) -> Message:
        """This message, settled as interrupted if it is pending and its turn is dead.

        Nothing is read unless it has been pending for longer than a turn lives without a sign.
        """
        if message.status is not Status.PENDING or not self._is_old(message.created_at.timestamp()):
            return message
        sign = await self._store.last_sign(tenant, message.id)
        if sign is not None and not self._is_old(sign.timestamp()):
            return message
        kept = Assembly(
            delta
            for checkpoint in await self._store.checkpoints(tenant, message.id)
            for delta in checkpoint.deltas
        )
        now = self._clock.now()
        ended = replace(
            message,
            text=kept.text,
            reasoning=kept.reasoning,
            tool_calls=kept.tool_calls,
            status=Status.INTERRUPTED,
            error=Interrupted.code,
            error_message=INTERRUPTED,
            ended_at=now,
        )
        origin = message.origin
        record = UsageRecord(
            tenant=tenant,
            user=origin.user if origin else "",
            key_id=origin.key_id if origin else "",
            dialect=origin.dialect if origin else "",
            turn=message.id,
            model=message.model or "",
            status=Status.INTERRUPTED,
            usage=None,
            at=now,
        )
        if await self._store.settle(ended, record):
            return ended
        return await stored(self._store, tenant, message)  # another was faster

    def _is_old(self, since: float) -> bool:
        return self._clock.now().timestamp() - since > LEASE_SECONDS


async def stored(store: ConversationStore, tenant: str, reply: Message) -> Message:
    """A reply as the store has it now.

    Raises:
        NotFound: it is gone.
    """
    scope = Scope(tenant)
    if reply.id.is_completion:
        return await store.get_completion(scope, reply.id)
    _, found = await store.get_message(scope, reply.id)
    return found
