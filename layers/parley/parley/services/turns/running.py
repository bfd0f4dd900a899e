"""A turn while this process runs it: the model is asked, the reply kept as it grows, then settled.

It runs in tasks of its own, so that its end doesn't depend on who is listening.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from parley.domain import holds
from parley.domain.conversations import Message, Status
from parley.domain.errors import (
    Conflict,
    Interrupted,
    ModelError,
    NotFound,
    ParleyError,
    StoreUnavailable,
)
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    Delta,
    Failed,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
    UsageRecord,
)
from parley.ports import Clock, ConversationStore, Model
from parley.services.observation import TurnWatch
from parley.services.turns.deltas import Assembly, in_pieces
from parley.services.turns.journal import Journal
from parley.services.turns.recovery import INTERRUPTED, stored
from parley.services.turns.reserving import estimated, prompt_tokens
from parley.services.turns.turn import Turn, is_text_only

log = logging.getLogger(__name__)

SETTLE_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries to settle a reply; together less than a turn lives without a sign."""

LONGEST_SETTLING = timedelta(minutes=10)
"""Who is still at it after that was frozen meanwhile, and the day may be accounted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a turn needs to run."""

    caller: Caller
    user: str
    dialect: str
    model: Model
    request: CompletionRequest
    reply: Message
    runs_on: bool
    """Whether the turn goes on when nobody listens any more."""
    is_told_again: bool
    """Whether somebody may ask to hear it again, so that it is kept to its last delta."""
    durable: Awaitable[None] | None = None
    """Makes the pending reply durable side by side with the model; None where it is already."""


class Running(Turn):
    """A turn that runs in this process."""

    def __init__(
        self,
        plan: Plan,
        store: ConversationStore,
        clock: Clock,
        *,
        watch_seconds: float,
        settle_pauses: Sequence[float],
    ) -> None:
        """Ask the model at once; call it in the event loop that is to run the turn."""
        self.reply = plan.reply
        self._plan = plan
        self._tenant = plan.caller.tenant.id
        self._store = store
        self._clock = clock
        self._watch_seconds = watch_seconds
        self._settle_pauses = settle_pauses
        self._watch = TurnWatch(plan.caller, plan.reply, dialect=plan.dialect)
        self._events: asyncio.Queue[TurnEvent] = asyncio.Queue()
        self._kept = Assembly()
        self.logprobs = self._kept.logprobs
        self._journal = Journal(
            store, clock, self._tenant, plan.reply.id, text_only=is_text_only(plan.reply)
        )
        self._is_full = asyncio.Event()
        self._began = clock.monotonic()
        self._first_token_ms: int | None = None
        self._has_begun = False
        """Whether the model has begun to reply, so that there is something to count."""
        self._accepted = False
        """Whether its caller may be told so."""
        self._completed: Completed | None = None
        self._route: ModelRoute | None = None
        self._durable = asyncio.ensure_future(plan.durable) if plan.durable else None
        self._asking = asyncio.create_task(self._ask())
        self._gauging = asyncio.create_task(self._gauge())
        self.seeing_through = asyncio.create_task(self._see_through())
        """Done when the turn is settled."""

    async def accepted(self) -> None:
        """Wait until the model has accepted the request.

        Raises:
            ParleyError: the store or the model refused or failed before the first event.
        """
        try:
            first = await self._events.get()
        except asyncio.CancelledError:
            self.leave()
            raise
        if isinstance(first, Failed):
            raise first.error
        if isinstance(first, Finished):  # stopped before the model accepted
            self._events.put_nowait(first)

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield deltas as they are made, then one `Finished` or `Failed`; only once."""
        ended = False
        try:
            while not ended:
                event = await self._events.get()
                ended = isinstance(event, Finished | Failed)
                yield event
        finally:
            if not ended:
                self.leave()

    def leave(self) -> None:
        """Listen no more: a turn that doesn't run on is cancelled."""
        if not self._plan.runs_on:
            self._asking.cancel()

    def stop(self) -> None:
        """End the turn with what there is of the reply; from any thread."""
        self._asking.get_loop().call_soon_threadsafe(self._asking.cancel)

    async def _ask(self) -> None:
        """Pass on what the model yields; cancelling this task cancels the model's call."""
        self._watch.enter()
        async with aclosing(self._plan.model.complete(self._plan.request)) as events:
            async for event in events:
                self._watch.heard(event)
                match event:
                    case Accepted(route):
                        self._route, self._has_begun = route, True
                        if self._durable is not None:
                            await asyncio.shield(self._durable)
                        self._accepted = True
                        self._events.put_nowait(Started(self.reply))
                    case TextDelta() | ReasoningDelta() | ToolCallDelta():
                        for piece in in_pieces(event):
                            self._add(piece)
                    case Completed():
                        self._completed = event

    async def _gauge(self) -> None:
        """Tell how the tenant's budget stands, while the model is asked."""
        budget = self._plan.caller.tenant.budget
        if not budget:
            return
        account = holds.budget(self._clock.now())
        with suppress(ParleyError):
            balance = await self._store.balance(self._tenant, account)
            self._watch.spent(balance.used / holds.units(budget))

    def _add(self, delta: Delta) -> None:
        if self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()
        self._kept.add(delta)
        self._journal.add(delta)
        self._events.put_nowait(delta)
        if self._journal.is_full:
            self._is_full.set()

    async def _see_through(self) -> None:
        """Wait for the model, settle what came of it, and only then say that the turn has ended."""
        self._watch.enter()
        try:
            reply, error = await self._settled()
        except Exception:  # whatever it is, who listens is to hear of an end
            log.exception("a turn couldn't be seen through")
            self._asking.cancel()
            reply, error = self.reply, ParleyError("Something went wrong on our side.")
        self._watch.ended(reply, error)
        self._events.put_nowait(Failed(reply, error) if error else Finished(reply))

    async def _settled(self) -> tuple[Message, ParleyError | None]:
        """The reply as it ends, and what the caller is to be told of its end."""
        await self._keep_up()
        error = self._why_broken()
        try:
            if self._durable is not None:
                await self._durable
        except ParleyError as lost:
            error = error or lost
            reply = self._ended(error)
            if isinstance(lost, StoreUnavailable):
                await self._count(reply)
        else:
            reply = self._ended(error)
            try:
                reply, error = await self._settle(reply, error)
            except ParleyError as unsettled:
                error = error or unsettled
        await self._gauging
        return reply, error

    async def _count(self, reply: Message) -> None:
        """Note what a turn has used that nobody hears, as its reply couldn't be made durable.

        It is tried once, for its caller waits to be told, and the store has just failed for long.
        """
        record = self._record(reply)
        try:
            await self._store.settle(reply, record)
        except ParleyError:
            tokens = record.usage.total_tokens if record.usage else 0
            log.exception("that %d tokens were used couldn't be noted", tokens)

    async def _keep_up(self) -> None:
        """Until the model is done, keep what comes and look whether the turn is to stop."""
        is_kept = True
        while True:
            full = asyncio.create_task(self._is_full.wait())
            done, _ = await asyncio.wait(
                # What couldn't be kept is tried again when the time comes, however full it gets.
                {self._asking, full} if is_kept else {self._asking},
                timeout=self._watch_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            full.cancel()
            if self._asking in done:
                return
            self._is_full.clear()
            if self._durable is None or self._durable.done():
                is_kept, is_to_stop = await asyncio.gather(self._journal.keep(), self._is_to_stop())
                if is_to_stop:
                    self._asking.cancel()

    async def _is_to_stop(self) -> bool:
        try:
            return await self._store.stop_requested(self._tenant, self.reply.id)
        except ParleyError:
            return False  # it is asked again soon, and a turn doesn't end for that

    def _why_broken(self) -> ParleyError | None:
        if self._asking.cancelled():
            return None
        raised = self._asking.exception()
        if isinstance(raised, ParleyError):
            return raised
        if raised is not None:
            log.error("a model adapter raised what its port doesn't allow", exc_info=raised)
            return ModelError("The model failed.")
        if self._completed is None:
            return ModelError("The model's reply broke off before its end.")
        return None

    def _ended(self, error: ParleyError | None) -> Message:
        """The reply as it is to be settled."""
        completed = self._completed
        status = Status.COMPLETED if completed else Status.STOPPED
        return replace(
            self.reply,
            text=self._kept.text,
            reasoning=self._kept.reasoning,
            tool_calls=self._kept.tool_calls,
            status=Status.FAILED if error else status,
            finish_reason=completed.finish_reason if completed else None,
            usage=completed.usage if completed else None,
            error=error.code if error else None,
            error_message=error.message if error else None,
            error_param=error.param if error else None,
            refused=error is not None and not self._accepted,
            ended_at=self._clock.now(),
        )

    def _record(self, reply: Message) -> UsageRecord:
        """The ledger's line.

        Where the model told no usage, as of a reply that broke off, it is estimated from what came.
        """
        now, route = self._clock.now(), self._route
        usage = reply.usage
        if usage is None and self._has_begun:
            usage = estimated(prompt_tokens(self._plan.request), self._kept)
        cost: Decimal | None = Decimal(0)
        if usage is not None:
            cost = route.cost(usage, now) if route else None
        return UsageRecord(
            tenant=self._tenant,
            user=self._plan.user,
            key_id=self._plan.caller.key_id,
            dialect=self._plan.dialect,
            turn=reply.id,
            model=reply.model or self._plan.request.model,
            status=reply.status,
            usage=usage,
            at=now,
            route=route.label if route else None,
            estimated=usage is not None and reply.usage is None,
            cost=cost,
            first_token_ms=self._first_token_ms,
            duration_ms=self._elapsed_ms(),
        )

    def _elapsed_ms(self) -> int:
        return round((self._clock.monotonic() - self._began) * 1000)

    async def _settle(
        self, reply: Message, error: ParleyError | None
    ) -> tuple[Message, ParleyError | None]:
        """Settle the reply, patiently; who is later than another goes by what that one settled.

        Returns:
            The reply as it is stored, and what the caller is to be told of its end.

        Raises:
            StoreUnavailable: it can't be settled for so long that others take it for dead.
        """
        record = self._record(reply)
        for pause in (*self._settle_pauses, None):
            try:
                last = await self._journal.last() if self._plan.is_told_again else None
                if self._clock.now() - record.at > LONGEST_SETTLING:
                    record = replace(record, at=self._clock.now())
                if await self._store.settle(reply, record, last=last):
                    return reply, error
                found = await stored(self._store, self._tenant, reply.id)
            except NotFound:
                return reply, error or Conflict(
                    "The conversation was deleted while it was answered."
                )
            except StoreUnavailable:
                if pause is None:
                    raise
            else:
                if (found.status, found.text) == (reply.status, reply.text):
                    return reply, error  # our own, of a try whose answer was lost
                return found, Interrupted(INTERRUPTED)
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")
