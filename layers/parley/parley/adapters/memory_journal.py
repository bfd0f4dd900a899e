"""What running turns have kept so far, in the memory of one process, for tests."""

from datetime import datetime

from parley.domain.ids import MessageId
from parley.domain.turns import JOURNAL_LIFETIME, Checkpoint
from parley.ports import Clock


class MemoryJournal:
    """The checkpoints of replies; whoever uses it keeps others from doing so at the same time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, MessageId], dict[tuple[int, int], Checkpoint]] = {}

    def add(self, tenant: str, reply: MessageId, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        place = (checkpoint.shown + checkpoint.shows, checkpoint.number)
        self._kept.setdefault((tenant, reply), {})[place] = checkpoint

    def read(self, tenant: str, reply: MessageId, *, after: int) -> tuple[Checkpoint, ...]:
        """Those that go beyond the first `after` shown deltas, in order; with 0, all of them."""
        kept = self._alive(tenant, reply)
        return tuple(
            checkpoint
            for (end, _), checkpoint in sorted(kept.items())
            if checkpoint.deltas and (after == 0 or end > after)
        )

    def last_sign(self, tenant: str, reply: MessageId) -> datetime | None:
        """When the newest one was kept."""
        kept = self._alive(tenant, reply)
        return kept[max(kept)].at if kept else None

    def forget(self, tenant: str, reply: MessageId) -> None:
        """Remove all of a reply."""
        self._kept.pop((tenant, reply), None)

    def _alive(self, tenant: str, reply: MessageId) -> dict[tuple[int, int], Checkpoint]:
        now = self._clock.now()
        return {
            place: checkpoint
            for place, checkpoint in self._kept.get((tenant, reply), {}).items()
            if checkpoint.at + JOURNAL_LIFETIME > now
        }
