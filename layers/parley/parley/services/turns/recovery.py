"""Ends turns whose function died: found where they are read, so that no sweeper is needed."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from parley.domain.conversations import Message, Scope, Status, Usage
from parley.domain.errors import Interrupted, NotFound
from parley.domain.holds import Quote
from parley.domain.ids import MessageId
from parley.domain.routes import Price
from parley.domain.turns import LEASE_SECONDS, UsageRecord
from parley.ports import Clock, ConversationStore
from parley.services.observation import leave_for_dead
from parley.services.turns.deltas import Assembly
from parley.services.turns.reserving import estimated

SIDE_BY_SIDE = 25
"""Turns looked at in one go for whether they are dead."""

LOOK_SECONDS = 2.0
"""How long nobody looks for dead turns of a tenant again, where there were none."""

INTERRUPTED = "The reply was interrupted before its end. What there was of it is kept."


class Recovery:
    """Settles replies that are pending with nobody at work on them any more."""

    def __init__(self, store: ConversationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next_look: dict[str, float] = {}

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
        checkpoints = await self._store.checkpoints(tenant, message.id)
        kept = Assembly(delta for checkpoint in checkpoints for delta in checkpoint.deltas)
        now = self._clock.now()
        quote = message.origin.quote if message.origin else None
        usage, cost = _what_is_known(quote, kept)
        ended = replace(
            message,
            text=kept.text,
            reasoning=kept.reasoning,
            tool_calls=kept.tool_calls,
            status=Status.INTERRUPTED,
            error=Interrupted.code,
            error_message=INTERRUPTED,
            last_checkpoint=checkpoints[-1].number if checkpoints else 0,
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
            usage=usage,
            at=now,
            route=quote.route if quote and usage else None,
            estimated=usage is not None,
            cost=cost,
        )
        if await self._store.settle(ended, record):
            leave_for_dead(ended)
            return ended
        return await stored(self._store, tenant, message.id)  # another was faster

    async def release_dead(self, tenant: str) -> bool:
        """Settle turns that hold something though nobody is at work on them any more.

        Where none was found a moment ago, nobody looks again yet: a tenant that is refused over and
        over costs no reads.

        Returns:
            Whether there were any.
        """
        if self._clock.monotonic() < self._next_look.get(tenant, 0.0):
            return False
        before = self._clock.now() - timedelta(seconds=LEASE_SECONDS)
        found = await self._store.holders(tenant, before=before)
        for start in range(0, len(found), SIDE_BY_SIDE):
            some = found[start : start + SIDE_BY_SIDE]
            if any(await asyncio.gather(*(self._release(tenant, *each) for each in some))):
                return True
        self._next_look[tenant] = self._clock.monotonic() + LOOK_SECONDS
        return False

    async def _release(self, tenant: str, turn: MessageId, since: datetime) -> bool:
        try:
            reply = await stored(self._store, tenant, turn)
        except NotFound:
            return await self._store.release(tenant, turn, since=since)
        return (await self.mend(tenant, reply)).status is not Status.PENDING

    def _is_old(self, since: float) -> bool:
        return self._clock.now().timestamp() - since > LEASE_SECONDS


async def stored(store: ConversationStore, tenant: str, reply: MessageId) -> Message:
    """A turn's reply as the store has it now.

    Raises:
        NotFound: it is gone.
    """
    scope = Scope(tenant)
    if reply.is_completion:
        return await store.get_completion(scope, reply)
    _, found = await store.get_message(scope, reply)
    return found


def _what_is_known(quote: Quote | None, kept: Assembly) -> tuple[Usage | None, Decimal | None]:
    """What a turn has used and cost, from what there is of its reply.

    Where there is nothing, nobody knows whether a model was asked at all, and nothing is billed.
    """
    if quote is None or kept.is_empty:
        return None, Decimal(0)
    usage = estimated(quote.prompt_tokens, kept)
    if quote.prompt is None or quote.completion is None:
        return usage, None
    price = Price(since=date.min, prompt=quote.prompt, completion=quote.completion)
    return usage, price.of(usage)
