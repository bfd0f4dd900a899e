"""A turn: what was said is made durable, the model is asked, its reply is streamed and settled.

The turn runs in a task of its own, so that its end doesn't depend on who is listening. Whoever
called it reads its events; when they leave early, a stored conversation's turn goes on and is
settled whole, a stateless completion is cancelled and settled as far as it came.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from parley.domain.conversations import (
    MAX_TEXT_BYTES,
    UNDECIDED,
    Conversation,
    Message,
    Parameters,
    Role,
    Status,
)
from parley.domain.errors import Conflict, MessageTooLong, ModelError, NotFound, ParleyError
from parley.domain.ids import MAX_SEQUENCE, ConversationId, MessageId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller
from parley.domain.tools import ToolCall, ToolResult
from parley.domain.turns import (
    NO_OPTIONS,
    Accepted,
    Completed,
    CompletionRequest,
    Failed,
    Finished,
    Options,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
    UsageRecord,
)
from parley.ports import Clock, ConversationStore, Ids, Model, Models
from parley.services.context import budget, build_prompt, messages_to_read
from parley.services.observation import TurnWatch
from parley.services.routing import Routing
from parley.services.tool_results import up_to_answered

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

    watch: TurnWatch
    events: asyncio.Queue[TurnEvent] = field(default_factory=asyncio.Queue)
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, list[ToolCallDelta]] = field(default_factory=dict)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    completed: Completed | None = None
    route: ModelRoute | None = None
    """The one that serves, once the model has accepted."""

    def add(self, delta: TextDelta | ReasoningDelta | ToolCallDelta) -> None:
        """Keep a piece of the reply, and pass it on."""
        match delta:
            case TextDelta():
                self.text.append(delta.text)
                self.logprobs += delta.logprobs
            case ReasoningDelta():
                self.reasoning.append(delta.text)
            case ToolCallDelta():
                self.calls.setdefault(delta.index, []).append(delta)
        self.events.put_nowait(delta)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of which anything is known, as far as they are."""
        return tuple(
            ToolCall(
                id=next((delta.id for delta in deltas if delta.id), ""),
                name=next((delta.name for delta in deltas if delta.name), ""),
                arguments="".join(delta.arguments for delta in deltas),
            )
            for _, deltas in sorted(self.calls.items())
        )


class Turn:
    """A turn the model has accepted."""

    def __init__(self, plan: _Plan, progress: _Progress, asking: asyncio.Task[None]) -> None:
        self.reply = plan.reply
        """The pending reply; its id is the turn's id."""
        self.logprobs: Sequence[Mapping[str, Any]] = progress.logprobs
        """Of the reply's tokens so far, where they were asked for; told to the caller only."""
        self._events = progress.events
        self._asking = asking
        self._runs_on = plan.runs_on

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
        """Listen no more: a stateless completion is cancelled, a stored turn goes on."""
        if not self._runs_on:
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


@dataclass(frozen=True, slots=True)
class _Choice:
    """The model that answers: the tenant's name for it, and where that leads."""

    name: str
    model: str
    back_end: Model


class Turns:
    """Runs turns."""

    def __init__(
        self,
        store: ConversationStore,
        models: Models,
        clock: Clock,
        ids: Ids,
        *,
        watch_seconds: float = 1.0,
    ) -> None:
        """Put the ports in place.

        Args:
            watch_seconds: how often a running turn looks whether another process wants it stopped.
        """
        self._store = store
        self._routing = Routing(models, clock)
        self._clock = clock
        self._ids = ids
        self._watch_seconds = watch_seconds
        self._running: dict[tuple[str, MessageId], asyncio.Task[None]] = {}
        self._asking: dict[tuple[str, MessageId], asyncio.Task[None]] = {}

    async def complete(
        self,
        caller: Caller,
        request: CompletionRequest,
        *,
        dialect: str,
        user: str | None = None,
    ) -> Turn:
        """Answer a prompt that the caller keeps: a stateless completion.

        Returns once the model has accepted the request.

        Raises:
            ModelNotFound: the tenant has no such model.
            InvalidRequest: the model can't do what is asked; nothing is stored or spent.
            ParleyError: the store or the model refused or failed before the first event.
        """
        (turn,) = await self.complete_often(caller, request, 1, dialect=dialect, user=user)
        return turn

    async def complete_often(
        self,
        caller: Caller,
        request: CompletionRequest,
        times: int,
        *,
        dialect: str,
        user: str | None = None,
    ) -> tuple[Turn, ...]:
        """Answer a prompt several times side by side, each in a turn of its own.

        Returns once the model has accepted all the requests. Where it refuses one, the others are
        cancelled.

        Raises:
            ParleyError: as `complete`.
        """
        choice = self._choose(caller, request.model)
        asked = replace(request, model=choice.model)
        choice.back_end.check(asked)
        owner = caller.owner(user)

        async def start() -> Turn:
            return await self._start(
                _Plan(
                    caller=caller,
                    user=owner,
                    dialect=dialect,
                    model=choice.back_end,
                    request=asked,
                    reply=await self._begin(caller, choice.name),
                    settle=self._store.settle_completion,
                    runs_on=False,
                )
            )

        starting = [asyncio.create_task(start()) for _ in range(times)]
        try:
            return tuple(await asyncio.gather(*starting))
        except BaseException:
            for each in starting:
                each.cancel()
            for started in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(started, Turn):
                    started.leave()
            raise

    async def _begin(self, caller: Caller, model: str) -> Message:
        """A pending reply, made durable."""
        while True:
            # Random throughout, so that even of millions that are kept no two meet, and odd, since
            # the replies of stored conversations are even.
            sequence = 1 | self._ids.conversation().number & MAX_SEQUENCE
            reply = Message(
                id=MessageId(self._ids.conversation(), sequence),
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
            return reply

    async def send(
        self,
        caller: Caller,
        conversation: ConversationId,
        *,
        dialect: str,
        text: str = "",
        tool_results: tuple[ToolResult, ...] = (),
        parameters: Parameters = UNDECIDED,
        options: Options = NO_OPTIONS,
        model: str | None = None,
        briefing: str | None = None,
        product_ids: tuple[int, ...] = (),
    ) -> Turn:
        """Say something in a stored conversation.

        Returns once the message is durable and the model has accepted the request.

        Args:
            text: what the user says, where there are no results.
            tool_results: what the calls of the newest reply have come to, all of them.
            parameters: for this turn; what they leave open, the conversation's decide.
            options: for this turn only.
            model: for this turn only; else the conversation's, else the tenant's default.
            briefing: what the model is told for this turn only, behind the system prompt.
            product_ids: the products that the briefing is about, kept with the reply.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            ModelNotFound: the tenant has no such model.
            MessageTooLong, ContextTooLong: the message can't be stored or shown to the model.
            InvalidRequest: the results aren't those of the newest reply's calls.
            Conflict: there are results, and a reply is still being made.
            ParleyError: the store or the model refused or failed before the first event.
        """
        _check_size(_as_json(tool_results) if tool_results else text)
        head, newest, choice = await self._read(caller, conversation, model)
        request = _request(
            head,
            up_to_answered(newest, tool_results) if tool_results else newest,
            text=text,
            tool_results=tool_results,
            choice=choice,
            parameters=parameters,
            options=options,
            briefing=briefing,
        )
        _, reply = await self._store.append_turn(
            head,
            text=text,
            model=choice.name,
            at=self._clock.now(),
            product_ids=product_ids,
            tool_results=tool_results,
        )
        return await self._start(
            self._stored(caller, head, reply, dialect=dialect, choice=choice, request=request)
        )

    def check(
        self,
        caller: Caller,
        *,
        text: str,
        system_prompt: str | None = None,
        model: str | None = None,
        parameters: Parameters = UNDECIDED,
    ) -> None:
        """Refuse a message that couldn't begin a conversation of this kind, before there is one.

        Raises:
            ModelNotFound: the tenant has no such model.
            MessageTooLong, ContextTooLong: the message can't be stored or shown to the model.
        """
        _check_size(text)
        choice = self._choose(caller, model or caller.tenant.default_model)
        window = choice.back_end.context_window
        build_prompt(
            system_prompt=system_prompt,
            history=(),
            text=text,
            budget=budget(window, parameters.max_tokens),
            window=window,
        )

    async def accept(
        self, caller: Caller, conversation: ConversationId, *, text: str
    ) -> tuple[Message, Message]:
        """Make a message and a pending reply durable; `take_up` answers, perhaps elsewhere.

        Returns:
            The message and the pending reply.

        Raises:
            NotFound, ModelNotFound, MessageTooLong, ContextTooLong: as `send`; nothing is stored.
        """
        _check_size(text)
        head, newest, choice = await self._read(caller, conversation, None)
        _request(head, newest, text=text, choice=choice)
        return await self._store.append_turn(
            head, text=text, model=choice.name, at=self._clock.now()
        )

    async def take_up(self, caller: Caller, turn: MessageId, *, dialect: str) -> Turn:
        """Answer a message that `accept` made durable.

        Raises:
            NotFound: there is no such turn in the caller's scope.
            Conflict: the turn has ended already.
            ParleyError: the store or the model refused or failed before the first event.
        """
        head, newest, _ = await self._read(caller, turn.conversation, None)
        said = await self._store.messages(head, first=turn.sequence - 1, last=turn.sequence)
        if [message.role for message in said] != [Role.USER, Role.ASSISTANT]:
            raise NotFound("No such turn.")
        question, reply = said
        if reply.status is not Status.PENDING:
            raise Conflict("The turn has ended.")
        choice = self._choose(caller, reply.model or caller.tenant.default_model)
        before = [message for message in newest if message.id < question.id]
        request = _request(head, before, text=question.text, choice=choice)
        return await self._start(
            self._stored(caller, head, reply, dialect=dialect, choice=choice, request=request)
        )

    async def stop(self, caller: Caller, turn: MessageId) -> None:
        """Stop a turn of a stored conversation wherever it runs; one that has ended stays ended.

        What was said so far is settled as `stopped`, at once in this process, within
        `watch_seconds` in another.

        Raises:
            NotFound: there is no such turn in the caller's scope.
        """
        await self._store.request_stop(caller.scope, turn)
        asking = self._asking.get((caller.tenant.id, turn))
        if asking is not None:
            asking.get_loop().call_soon_threadsafe(asking.cancel)  # perhaps another thread's

    async def drain(self) -> None:
        """Wait until every turn of this event loop is settled; for one about to end."""
        here = asyncio.get_running_loop()
        while running := [task for task in self._running.values() if task.get_loop() is here]:
            await asyncio.wait(running)

    def _choose(self, caller: Caller, name: str) -> _Choice:
        routes = caller.tenant.routes(name)
        return _Choice(name, routes[0].model, self._routing.model(routes))

    async def _read(
        self, caller: Caller, conversation: ConversationId, model: str | None
    ) -> tuple[Conversation, tuple[Message, ...], _Choice]:
        """A conversation's head, what of it a model may be shown, and the model.

        How much to read depends on the model, which only the head names: the likeliest decides.
        """
        likeliest = self._choose(caller, model or next(iter(caller.tenant.models), ""))
        head, newest = await self._store.get_with_newest(
            caller.scope, conversation, messages_to_read(likeliest.back_end.context_window)
        )
        name = model or head.model or caller.tenant.default_model
        return head, newest, self._choose(caller, name)

    def _stored(
        self,
        caller: Caller,
        head: Conversation,
        reply: Message,
        *,
        dialect: str,
        choice: _Choice,
        request: CompletionRequest,
    ) -> _Plan:
        return _Plan(
            caller=caller,
            user=head.user,
            dialect=dialect,
            model=choice.back_end,
            request=request,
            reply=reply,
            settle=self._store.settle_turn,
            runs_on=True,
        )

    async def _start(self, plan: _Plan) -> Turn:
        progress = _Progress(TurnWatch(plan.caller, plan.reply, dialect=plan.dialect))
        name = (plan.caller.tenant.id, plan.reply.id)
        asking = self._asking[name] = asyncio.create_task(self._ask(plan, progress))
        running = asyncio.create_task(self._see_through(plan, progress, asking))
        self._running[name] = running
        asking.add_done_callback(lambda _: self._asking.pop(name))
        running.add_done_callback(lambda _: self._running.pop(name))
        try:
            first = await progress.events.get()
        except asyncio.CancelledError:
            if not plan.runs_on:
                asking.cancel()
            raise
        if isinstance(first, Failed):
            raise first.error
        if isinstance(first, Finished):  # stopped before the model accepted
            progress.events.put_nowait(first)
        return Turn(plan, progress, asking)

    async def _ask(self, plan: _Plan, progress: _Progress) -> None:
        """Pass on what the model yields; cancelling this task cancels the model's call."""
        progress.watch.enter()
        async with aclosing(plan.model.complete(plan.request)) as events:
            async for event in events:
                progress.watch.heard(event)
                match event:
                    case Accepted(route):
                        progress.route = route
                        progress.events.put_nowait(Started(plan.reply))
                    case TextDelta() | ReasoningDelta() | ToolCallDelta():
                        progress.add(event)
                    case Completed():
                        progress.completed = event

    async def _see_through(
        self, plan: _Plan, progress: _Progress, asking: asyncio.Task[None]
    ) -> None:
        """Wait for the model, settle what came of it, and only then say that the turn has ended."""
        progress.watch.enter()
        while not (await asyncio.wait({asking}, timeout=self._watch_seconds))[0]:
            if plan.runs_on and await self._is_to_stop(plan):
                asking.cancel()
        completed = progress.completed
        error = None if asking.cancelled() else _why_broken(asking.exception(), completed)
        status = Status.COMPLETED if completed else Status.STOPPED
        reply = replace(
            plan.reply,
            text="".join(progress.text),
            status=Status.FAILED if error else status,
            finish_reason=completed.finish_reason if completed else None,
            usage=completed.usage if completed else None,
            error=error.code if error else None,
            reasoning="".join(progress.reasoning),
            tool_calls=progress.tool_calls,
        )
        try:
            if not await self._settle(plan, reply, progress.route):
                error = error or Conflict("The conversation was deleted while it was answered.")
        except ParleyError as unsettled:
            error = error or unsettled
        progress.watch.ended(reply, error)
        progress.events.put_nowait(Failed(reply, error) if error else Finished(reply))

    async def _is_to_stop(self, plan: _Plan) -> bool:
        try:
            return await self._store.stop_requested(plan.caller.tenant.id, plan.reply.id)
        except ParleyError:
            return False  # it is asked again soon, and a turn doesn't end for that

    async def _settle(self, plan: _Plan, reply: Message, route: ModelRoute | None) -> bool:
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
            route=route.label if route else None,
        )
        return await plan.settle(reply, record)


def _as_json(results: Sequence[ToolResult]) -> str:
    """As much as any store makes of them; a control character is six of JSON's."""
    return json.dumps([asdict(result) for result in results], ensure_ascii=False)


def _check_size(text: str) -> None:
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise MessageTooLong(
            f"The message has {size} bytes; at most {MAX_TEXT_BYTES} can be stored."
        )


def _request(
    head: Conversation,
    history: Sequence[Message],
    *,
    text: str,
    choice: _Choice,
    tool_results: Sequence[ToolResult] = (),
    parameters: Parameters = UNDECIDED,
    options: Options = NO_OPTIONS,
    briefing: str | None = None,
) -> CompletionRequest:
    parameters = parameters.over(head.parameters)
    window = choice.back_end.context_window
    messages = build_prompt(
        system_prompt="\n\n".join(filter(None, [head.system_prompt, briefing])) or None,
        history=history,
        text=text,
        tool_results=tool_results,
        budget=budget(window, parameters.max_tokens),
        window=window,
    )
    request = options.of(
        CompletionRequest(model=choice.model, messages=messages, parameters=parameters)
    )
    choice.back_end.check(request)
    return request


def _why_broken(raised: BaseException | None, completed: Completed | None) -> ParleyError | None:
    if isinstance(raised, ParleyError):
        return raised
    if raised is not None:
        log.error("a model adapter raised what its port doesn't allow", exc_info=raised)
        return ModelError("The model failed.")
    if completed is None:
        return ModelError("The model's reply broke off before its end.")
    return None
