"""A turn as whoever asked for it, or asks for it again, hears it."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from parley.domain.conversations import TEXT_ONLY, Message, Status
from parley.domain.errors import (
    ContextTooLong,
    Interrupted,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
    StoreUnavailable,
)
from parley.domain.turns import Checkpoint, Failed, Finished, TextDelta, TurnEvent
from parley.ports import ConversationStore
from parley.services.turns.journal import is_shown
from parley.services.turns.recovery import Recovery, stored

POLL_SECONDS = 0.25
"""How soon what another process keeps of a turn is told on."""

LONGEST_POLL_SECONDS = 1.0


class Turn(ABC):
    """A turn the model has accepted."""

    reply: Message
    """The pending reply; its id is the turn's id."""
    logprobs: list[Mapping[str, Any]]
    """Of the reply's tokens heard so far, where they were asked for; told to the caller only."""
    is_told_again: ClassVar[bool] = False
    """Whether it was begun by an earlier request, or in another process."""
    broke_off: bool = False
    """Whether the event that comes next ends a reply that its process left unfinished.

    Who listened to that process may have heard more of the reply than is kept.
    """

    @abstractmethod
    def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield deltas as they are made, then one `Finished` or `Failed`; only once."""

    def leave(self) -> None:  # noqa: B027 - nobody has to do anything
        """Listen no more."""

    async def result(self) -> Message:
        """Wait for the settled reply.

        Raises:
            ParleyError: why there is no whole reply.
        """
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.reply
                if isinstance(event, Failed):
                    raise event.error
        raise AssertionError("a turn ends with Finished or Failed")


class ToldAgain(Turn):
    """A turn as its checkpoints tell it: while another process runs it, and for a day after."""

    is_told_again = True

    def __init__(
        self,
        store: ConversationStore,
        recovery: Recovery,
        tenant: str,
        reply: Message,
        *,
        after: int = 0,
    ) -> None:
        """Put in place what is needed to hear a turn.

        Args:
            after: begin behind so many deltas that the turn's dialect shows.
        """
        self.reply = reply
        self.logprobs = []
        self._store = store
        self._recovery = recovery
        self._tenant = tenant
        self._after = after
        self._text_only = is_text_only(reply)
        self._found: tuple[Message, Sequence[Checkpoint]] | None = None
        """The reply and what is kept of it, read already and not told yet."""

    async def has_begun(self) -> bool:
        """Wait until the model has begun to reply, or the turn has ended.

        Returns:
            False where it ended before the model had accepted it; `reply` says why.
        """
        pause = POLL_SECONDS
        reply = await self._recovery.mend(self._tenant, self.reply)
        while not reply.refused:
            kept = await self._kept(self._after)
            is_over = reply.status is not Status.PENDING
            if is_over or kept or self._after:  # who has heard something wants what is behind it
                self._found = reply, kept
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)
            reply = await self._look()
        self.reply = reply
        return not reply.refused

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield deltas from behind the place to begin at, then one `Finished` or `Failed`."""
        place = self._after
        heard = 0
        pause = POLL_SECONDS
        while True:
            reply, kept = self._found or await self._read(place)
            self._found = None
            last = math.inf if reply.last_checkpoint is None else reply.last_checkpoint
            news = [checkpoint for checkpoint in kept if heard < checkpoint.number <= last]
            for checkpoint in news:
                shown = checkpoint.shown
                for delta in checkpoint.deltas:
                    if shown >= self._after:
                        if isinstance(delta, TextDelta):
                            self.logprobs += delta.logprobs
                        yield delta
                    shown += is_shown(delta, text_only=self._text_only)
                place, heard = max(place, shown), checkpoint.number
            if reply.status is not Status.PENDING:
                self.broke_off = reply.status is Status.INTERRUPTED
                yield ending(reply)
                return
            pause = POLL_SECONDS if news else min(2 * pause, LONGEST_POLL_SECONDS)
            await asyncio.sleep(pause)

    async def _read(self, place: int) -> tuple[Message, Sequence[Checkpoint]]:
        """The reply, and what was kept of it by then: where it is settled, all there is."""
        reply = await self._look()
        return reply, await self._kept(place)

    async def _look(self) -> Message:
        reply = await stored(self._store, self._tenant, self.reply.id)
        return await self._recovery.mend(self._tenant, reply)

    async def _kept(self, place: int) -> Sequence[Checkpoint]:
        return await self._store.checkpoints(self._tenant, self.reply.id, after=place)


def is_text_only(reply: Message) -> bool:
    """Whether the dialect that a reply was asked for in shows text and nothing else."""
    return bool(reply.origin and reply.origin.telling.get(TEXT_ONLY))


def ending(reply: Message) -> Finished | Failed:
    """How a settled reply's turn ended."""
    if reply.status in {Status.FAILED, Status.INTERRUPTED}:
        return Failed(reply, error_of(reply))
    return Finished(reply)


def error_of(reply: Message) -> ParleyError:
    """What went wrong with a failed reply, as its caller was told."""
    kind = _KINDS.get(reply.error or "", ModelError)
    error = kind(reply.error_message or "The model failed.", param=reply.error_param)
    error.is_told_again = True
    return error


_KINDS: Mapping[str, type[ParleyError]] = {
    kind.code: kind
    for kind in (
        InvalidRequest,
        ContextTooLong,
        ModelNotFound,
        ModelError,
        ModelUnavailable,
        ModelThrottled,
        Interrupted,
        StoreUnavailable,
    )
}
"""What a turn can fail of once it is durable."""
