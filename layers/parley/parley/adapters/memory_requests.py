"""Requests that carry an idempotency key, in the memory of one process, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from threading import RLock

from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import REMEMBERED_FOR, Answer, Done, Once, Repeated
from parley.ports import Clock


class MemoryRequests:
    """The `Requests` in memory, safe to use from many threads.

    Attributes:
        lock: held around every change, for whoever changes something else in the same step.
    """

    def __init__(self, clock: Clock) -> None:
        self.lock = RLock()
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[datetime, Done]] = {}

    async def find(self, once: Once) -> Done | None:
        """What is known of this key."""
        return self._find(once)

    async def hold(self, once: Once, *, until: datetime) -> Done | None:
        """Become the one who answers a request."""
        with self.lock:
            known = self._find(once)
            if known is None:
                known = Done(fingerprint=once.fingerprint)
            elif not _is_undone(known, once) or known.held_until is not None:
                return known
            self._keep(once, replace(known, held_until=until))
            return None

    async def answered(self, once: Once, answer: Answer) -> None:
        """Keep what a request was answered with."""
        with self.lock:
            known = self._find(once) or Done(fingerprint=once.fingerprint)
            if _is_undone(known, once):
                self._keep(once, replace(known, answer=answer))

    async def release(self, once: Once) -> None:
        """Forget that a request was held."""
        with self.lock:
            known = self._find(once)
            if known is not None and _is_undone(known, once) and known.conversation is None:
                del self._known[once.tenant, once.name]

    def check(self, once: Once | None, *, begins_conversation: bool = False) -> None:
        """Refuse what has happened already.

        Raises:
            Repeated: the request has begun a turn or was answered before, or was another one.
        """
        known = self._find(once) if once is not None else None
        if once is None or known is None:
            return
        if not _is_undone(known, once) or (begins_conversation and known.conversation is not None):
            raise Repeated(known)

    def note(
        self, once: Once | None, conversation: ConversationId | None, turns: Sequence[MessageId]
    ) -> None:
        """Note what a request has begun."""
        if once is not None:
            known = self._find(once)
            held_until = known.held_until if known is not None and not turns else None
            done = Done(
                fingerprint=once.fingerprint,
                conversation=conversation,
                turns=tuple(turns),
                held_until=held_until,
            )
            self._keep(once, done)

    def _find(self, once: Once) -> Done | None:
        now = self._clock.now()
        forgotten_at, done = self._known.get((once.tenant, once.name), (now, None))
        if done is None or forgotten_at <= now:
            return None
        if done.held_until is not None and done.held_until <= now:
            return replace(done, held_until=None)
        return done

    def _keep(self, once: Once, done: Done) -> None:
        self._known[once.tenant, once.name] = (self._clock.now() + REMEMBERED_FOR, done)


def _is_undone(known: Done, once: Once) -> bool:
    """Whether it is this request, and it has neither begun a turn nor been answered."""
    return known.fingerprint == once.fingerprint and not known.turns and known.answer is None
