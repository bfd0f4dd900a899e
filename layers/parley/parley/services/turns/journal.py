"""Keeps what a reply grows by, so that a crash costs one interval of it at most."""

from collections.abc import Sequence

from parley.domain.errors import ParleyError
from parley.domain.ids import MessageId
from parley.domain.turns import HEARTBEAT_SECONDS, Checkpoint, Delta, TextDelta
from parley.ports import Clock, ConversationStore
from parley.services.turns.deltas import size_of

LARGEST_CHECKPOINT = 64_000
"""Characters; of UTF-8's four bytes each they still fit an item of the table."""


class Journal:
    """The checkpoints of one running turn."""

    def __init__(
        self,
        store: ConversationStore,
        clock: Clock,
        tenant: str,
        reply: MessageId,
        *,
        text_only: bool,
    ) -> None:
        """Begin before the first delta.

        Args:
            text_only: whether the turn's dialect shows text and nothing else.
        """
        self._store = store
        self._clock = clock
        self._tenant = tenant
        self._reply = reply
        self._text_only = text_only
        self._pending: list[Delta] = []
        self._size = 0
        self._number = 1
        self._shown = 0
        self._signed = clock.monotonic()
        self._unsure: Checkpoint | None = None
        """Tried, and nobody knows whether it is kept: it is tried again as it was."""

    @property
    def is_full(self) -> bool:
        """Whether there is more to keep than waits well for the next time."""
        return self._size > LARGEST_CHECKPOINT

    def add(self, delta: Delta) -> None:
        """Note a delta; it is kept with the next checkpoint."""
        self._pending.append(delta)
        self._size += size_of(delta)

    async def keep(self) -> bool:
        """Make the checkpoints that are due; what can't be kept now is kept the next time.

        Returns:
            Whether all of them could be kept.
        """
        try:
            await self._retry()
            due = len(self._pending)  # what comes meanwhile waits for the next time
            while due > 0:
                kept = self._next()
                due -= len(kept.deltas)
                await self._make(kept)
            if self._clock.monotonic() - self._signed >= HEARTBEAT_SECONDS:
                await self._make(self._of(()))
        except ParleyError:
            return False
        return True

    async def last(self) -> Checkpoint | None:
        """The checkpoint to be kept in the step that settles the reply; None where all is kept.

        Raises:
            StoreUnavailable: one before it can't be kept.
        """
        await self._retry()
        while True:
            last = self._next()
            if not self._pending:
                if last.deltas:
                    self._pending = list(last.deltas)  # until it is kept, for another try
                    return last
                return None
            await self._make(last)

    async def _retry(self) -> None:
        if self._unsure is not None:
            await self._make(self._unsure)

    async def _make(self, kept: Checkpoint) -> None:
        self._unsure = kept
        await self._store.checkpoint(self._tenant, self._reply, kept)
        self._unsure = None
        self._signed = self._clock.monotonic()
        self._shown += kept.shows
        if kept.deltas:
            self._number += 1

    def _next(self) -> Checkpoint:
        """The checkpoint of as much as fits one of what is pending; that is no longer pending."""
        size = taken = 0
        for delta in self._pending:
            size += size_of(delta)
            if taken and size > LARGEST_CHECKPOINT:
                break
            taken += 1
        deltas, self._pending = self._pending[:taken], self._pending[taken:]
        self._size = sum(map(size_of, self._pending))
        return self._of(deltas)

    def _of(self, deltas: Sequence[Delta]) -> Checkpoint:
        return Checkpoint(
            number=self._number,
            shown=self._shown,
            deltas=tuple(deltas),
            shows=sum(is_shown(delta, text_only=self._text_only) for delta in deltas),
            at=self._clock.now(),
        )


def is_shown(delta: Delta, *, text_only: bool) -> bool:
    """Whether a dialect that may show text and nothing else shows this."""
    return not text_only or isinstance(delta, TextDelta)
