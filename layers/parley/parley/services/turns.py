"""A turn: what was said is made durable, the model is asked, its reply is streamed and settled.

The turn runs in a task of its own, so that its end doesn't depend on who is listening. Whoever
called it reads its events; when they leave early, a stored conversation's turn goes on and is
settled whole, a stateless completion is cancelled and settled as far as it came.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from parley.domain.conversations import (
    DEFAULT_USER,
    MAX_TEXT_BYTES,
    Message,
    Role,
    Status,
)
from parley.domain.errors import Conflict, MessageTooLong, ModelError, ParleyError
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tenants import Caller, ModelRoute
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    Failed,
    Finished,
    Parameters,
    PromptMessage,
    Started,
    TextDelta,
    TurnEvent,
    UsageRecord,
)
from parley.ports import Clock, ConversationStore, Ids, Model, Models
from parley.services.context import budget, build_prompt, messages_to_read

log = logging.getLogger(__name__)

Settle = Callable[[Message, UsageRecord], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Everything a turn needs once it is durable."""

    caller: Caller
    user: str
    dialect: str
    model: Model
    request: CompletionRequest
    reply: Message
    settle: Settle
    runs_on: bool
    """Whether the turn goes on when nobody listens any more."""


@dataclass(slots=True)
class _Progress:
    """What has come of a turn so far."""

    events: asyncio.Queue[TurnEvent] = field(default_factory=asyncio.Queue)
    text: list[str] = field(default_factory=list)
    completed: Completed | None = None


class Turn:
    """A turn the model has accepted."""

    def __init__(self, plan: _Plan, progress: _Progress, asking: asyncio.Task[None]) -> None:
        self.reply = plan.reply
        """The pending reply; its id is the turn's id."""
        self._events = progress.events
        self._asking = asking
        self._runs_on = plan.runs_on

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield `TextDelta`s as they are made, then one `Finished` or `Failed`; only once."""
        ended = False
        try:
            while not ended:
                event = await self._events.get()
                ended = isinstance(event, Finished | Failed)
                yield event
        finally:
            if not ended and not self._runs_on:
                self._asking.cancel()

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


class Turns:
    """Runs turns."""

    def __init__(self, store: ConversationStore, models: Models, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._models = models
        self._clock = clock
        self._ids = ids
        self._running: set[asyncio.Task[None]] = set()

    async def complete(
        self,
        caller: Caller,
        *,
        dialect: str,
        model: str,
        messages: tuple[PromptMessage, ...],
        parameters: Parameters,
        user: str | None = None,
    ) -> Turn:
        """Answer a prompt that the caller keeps: a stateless completion.

        Returns once the model has accepted the request.

        Raises:
            ModelNotFound: the tenant has no such model.
            ParleyError: the store or the model refused or failed before the first event.
        """
        route, back_end = self._resolve(caller, model)
        while True:
            reply = Message(
                id=MessageId(self._ids.conversation(), 1),
                role=Role.ASSISTANT,
                text="",
                status=Status.PENDING,
                created_at=self._clock.now(),
                model=model,
            )
            try:
                await self._store.begin_completion(caller.scope, reply)
            except Conflict:
                continue
            break
        return await self._start(
            _Plan(
                caller=caller,
                user=caller.user or user or DEFAULT_USER,
                dialect=dialect,
                model=back_end,
                request=CompletionRequest(
                    model=route.model, messages=messages, parameters=parameters
                ),
                reply=reply,
                settle=self._store.settle_completion,
                runs_on=False,
            )
        )

    async def send(
        self,
        caller: Caller,
        conversation: ConversationId,
        *,
        dialect: str,
        text: str,
        parameters: Parameters,
        model: str | None = None,
    ) -> Turn:
        """Say something in a stored conversation.

        Returns once the message is durable and the model has accepted the request.

        Args:
            model: for this turn only; else the conversation's, else the tenant's default.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            ModelNotFound: the tenant has no such model.
            MessageTooLong, ContextTooLong: the message can't be stored or shown to the model.
            ParleyError: the store or the model refused or failed before the first event.
        """
        size = len(text.encode())
        if size > MAX_TEXT_BYTES:
            raise MessageTooLong(
                f"The message has {size} bytes; at most {MAX_TEXT_BYTES} can be stored."
            )
        # How much to read depends on the model, which only the head names: read for the likeliest.
        likeliest = model or next(iter(caller.tenant.models), "")
        _, back_end = self._resolve(caller, likeliest)
        head, newest = await self._store.get_with_newest(
            caller.scope, conversation, messages_to_read(back_end.context_window)
        )
        name = model or head.model or caller.tenant.default_model
        route, back_end = self._resolve(caller, name)
        prompt = build_prompt(
            system_prompt=head.system_prompt,
            history=newest,
            text=text,
            budget=budget(back_end.context_window, parameters.max_tokens),
            window=back_end.context_window,
        )
        _, reply = await self._store.append_turn(head, text=text, model=name, at=self._clock.now())
        return await self._start(
            _Plan(
                caller=caller,
                user=head.user,
                dialect=dialect,
                model=back_end,
                request=CompletionRequest(
                    model=route.model, messages=prompt, parameters=parameters
                ),
                reply=reply,
                settle=self._store.settle_turn,
                runs_on=True,
            )
        )

    async def drain(self) -> None:
        """Wait until every running turn is settled; for a process about to end."""
        while self._running:
            await asyncio.wait(self._running)

    def _resolve(self, caller: Caller, name: str) -> tuple[ModelRoute, Model]:
        route = caller.tenant.route(name)
        return route, self._models.backend(route.backend)

    async def _start(self, plan: _Plan) -> Turn:
        progress = _Progress()
        asking = asyncio.create_task(self._ask(plan, progress))
        running = asyncio.create_task(self._see_through(plan, progress, asking))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            first = await progress.events.get()
        except asyncio.CancelledError:
            if not plan.runs_on:
                asking.cancel()
            raise
        if isinstance(first, Failed):
            raise first.error
        return Turn(plan, progress, asking)

    async def _ask(self, plan: _Plan, progress: _Progress) -> None:
        """Pass on what the model yields; cancelling this task cancels the model's call."""
        async with aclosing(plan.model.complete(plan.request)) as events:
            async for event in events:
                match event:
                    case Accepted():
                        progress.events.put_nowait(Started(plan.reply))
                    case TextDelta():
                        progress.text.append(event.text)
                        progress.events.put_nowait(event)
                    case Completed():
                        progress.completed = event

    async def _see_through(
        self, plan: _Plan, progress: _Progress, asking: asyncio.Task[None]
    ) -> None:
        """Wait for the model, settle what came of it, and only then say that the turn has ended."""
        await asyncio.wait({asking})
        completed = progress.completed
        error = None if asking.cancelled() else _why_broken(asking.exception(), completed)
        status = Status.STOPPED if asking.cancelled() else Status.COMPLETED
        reply = replace(
            plan.reply,
            text="".join(progress.text),
            status=Status.FAILED if error else status,
            finish_reason=completed.finish_reason if completed else None,
            usage=completed.usage if completed else None,
            error=error.code if error else None,
        )
        try:
            await self._settle(plan, reply)
        except ParleyError as unsettled:
            error = error or unsettled
        progress.events.put_nowait(Failed(reply, error) if error else Finished(reply))

    async def _settle(self, plan: _Plan, reply: Message) -> None:
        record = UsageRecord(
            tenant=plan.caller.tenant.id,
            user=plan.user,
            key_id=plan.caller.key_id,
            dialect=plan.dialect,
            turn=reply.id,
            model=reply.model or plan.request.model,
            status=reply.status,
            usage=reply.usage,
            at=self._clock.now(),
        )
        await plan.settle(reply, record)


def _why_broken(raised: BaseException | None, completed: Completed | None) -> ParleyError | None:
    if isinstance(raised, ParleyError):
        return raised
    if raised is not None:
        log.error("a model adapter raised what its port doesn't allow", exc_info=raised)
        return ModelError("The model failed.")
    if completed is None:
        return ModelError("The model's reply broke off before its end.")
    return None
