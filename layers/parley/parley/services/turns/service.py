"""The use cases of turns: say something, answer a prompt, hear a turn again, stop it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from parley.domain.conversations import (
    MAX_TEXT_BYTES,
    UNDECIDED,
    Conversation,
    Message,
    Origin,
    Parameters,
    Role,
    Scope,
    Status,
)
from parley.domain.errors import (
    Conflict,
    MessageTooLong,
    NotFound,
)
from parley.domain.holds import Kind, NoRoom
from parley.domain.ids import MAX_SEQUENCE, ConversationId, MessageId
from parley.domain.once import Done, Once, Repeated
from parley.domain.routes import ModelRoute
from parley.domain.tenants import CATCH_ALL, Caller
from parley.domain.tools import ToolResult
from parley.domain.turns import (
    CHECKPOINT_SECONDS,
    NO_OPTIONS,
    CompletionRequest,
    Options,
    PromptMessage,
)
from parley.ports import Clock, ConversationStore, Ids, Models
from parley.services.context import budget, build_prompt, messages_to_read
from parley.services.routing import RoutedModel, Routing
from parley.services.tool_results import up_to_answered
from parley.services.turns.recovery import Recovery
from parley.services.turns.reserving import refusal, reserved
from parley.services.turns.running import SETTLE_PAUSES, Plan, Running
from parley.services.turns.turn import ToldAgain, Turn, error_of
from parley.telemetry import spans

T = TypeVar("T")

NOTHING: Mapping[str, Any] = {}


async def _nothing() -> None:
    """Let everybody pass."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The model that answers: the tenant's name for it, and where that leads."""

    name: str
    routes: tuple[ModelRoute, ...]
    back_end: RoutedModel

    @property
    def model(self) -> str:
        """The likeliest back end's own name for it."""
        return self.routes[0].model


class Turns:
    """Runs turns."""

    def __init__(
        self,
        store: ConversationStore,
        models: Models,
        clock: Clock,
        ids: Ids,
        *,
        admitted: Callable[[], Awaitable[None]] = _nothing,
        watch_seconds: float = CHECKPOINT_SECONDS,
        settle_pauses: Sequence[float] = SETTLE_PAUSES,
    ) -> None:
        """Put the ports in place.

        Args:
            admitted: returns once the caller's limits admit what is asked, or raises; waited for
                side by side with the first read, and before anything is written or a model asked.
            watch_seconds: how often a running turn keeps what it has grown by, and looks whether
                another process wants it stopped.
            settle_pauses: seconds between the tries to settle a reply.
        """
        self._store = store
        self._routing = Routing(models, clock)
        self._recovery = Recovery(store, clock)
        self._clock = clock
        self._ids = ids
        self._admitted = admitted
        self._watch_seconds = watch_seconds
        self._settle_pauses = settle_pauses
        self._running: dict[tuple[str, MessageId], Running] = {}

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
        telling: Mapping[str, Any] = NOTHING,
        once: Once | None = None,
    ) -> tuple[Turn, ...]:
        """Answer a prompt several times side by side, each in a turn of its own.

        Returns once the model has accepted all the requests. Where it refuses one, the others are
        cancelled.

        Args:
            telling: what the dialect needs to tell the turns again; empty where it doesn't stream.
            once: the request, where it may be repeated; then its turns are told again.

        Raises:
            ParleyError: as `complete`.
        """
        if once and once.before and once.before.turns:
            await self._admitted()
            return await self._again(caller, once, once.before)
        choice = self._choose(caller, request.model)
        asked = replace(request, model=choice.model)
        choice.back_end.check(asked)
        owner = caller.owner(user)
        origin = self._reserved(
            Origin(dialect=dialect, key_id=caller.key_id, user=owner, telling=telling),
            caller,
            choice,
            asked,
            times=times,
        )
        replies = [self._pending(choice.name, origin) for _ in range(times)]
        await self._admitted()
        beginning = asyncio.ensure_future(
            self._with_room(
                caller, lambda: self._store.begin_completions(caller.scope, replies, once=once)
            )
        )
        if once is not None or origin.holds:  # only who is the first, and has room, may ask
            try:
                await beginning
            except Repeated as repeated:
                if once is None:
                    raise
                return await self._again(caller, once, repeated.done)
        turns = [
            self._run(
                Plan(
                    caller=caller,
                    user=owner,
                    dialect=dialect,
                    model=choice.back_end,
                    request=asked,
                    reply=reply,
                    # Who names his request may come back for the whole of its reply.
                    runs_on=once is not None or caller.tenant.turns.completions_run_on,
                    is_told_again=bool(telling) or once is not None,
                    durable=asyncio.shield(beginning),
                )
            )
            for reply in replies
        ]
        try:
            await asyncio.gather(*(turn.accepted() for turn in turns))
        except BaseException:
            for turn in turns:
                turn.stop()
            raise
        return tuple(turns)

    def _pending(self, model: str, origin: Origin) -> Message:
        """A reply that is yet to be made durable."""
        # Random throughout, so that even of millions that are kept no two meet, and odd, since
        # the replies of stored conversations are even.
        sequence = 1 | self._ids.conversation().number & MAX_SEQUENCE
        return Message(
            id=MessageId(self._ids.conversation(), sequence),
            role=Role.ASSISTANT,
            text="",
            status=Status.PENDING,
            created_at=self._clock.now(),
            model=model,
            origin=origin,
        )

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
        telling: Mapping[str, Any] = NOTHING,
        once: Once | None = None,
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
            telling: what the dialect needs to tell the turn again; empty where it doesn't stream.
            once: the request, where it may be repeated; then its turn is told again.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            TurnInProgress: another turn isn't over, and the tenant wants one at a time.
            ModelNotFound: the tenant has no such model.
            MessageTooLong, ContextTooLong: the message can't be stored or shown to the model.
            InvalidRequest: the results aren't those of the newest reply's calls.
            Conflict: there are results, and a reply is still being made.
            ParleyError: the store or the model refused or failed before the first event.
        """
        _check_size(_as_json(tool_results) if tool_results else text)
        if once and once.before and once.before.turns:
            await self._admitted()
            return (await self._again(caller, once, once.before))[0]
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
        origin = self._reserved(
            Origin(dialect=dialect, key_id=caller.key_id, user=head.user, telling=telling),
            caller,
            choice,
            request,
        )

        async def begin() -> Running:
            _, reply = await self._append(
                caller,
                head,
                newest,
                text=text,
                model=choice.name,
                product_ids=product_ids,
                tool_results=tool_results,
                origin=origin,
                once=once,
            )
            return self._start(
                caller, reply, choice=choice, request=request, is_told_again=once is not None
            )

        try:
            turn = await _to_its_end(begin())
            spans.bind(turn_id=str(turn.reply.id))  # it was begun in a task of its own
        except Repeated as repeated:
            if once is None:
                raise
            return (await self._again(caller, once, repeated.done))[0]
        await turn.accepted()
        return turn

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

    async def check_room(
        self,
        caller: Caller,
        *,
        text: str,
        system_prompt: str | None = None,
        model: str | None = None,
        parameters: Parameters = UNDECIDED,
    ) -> None:
        """Refuse a message that there is no room for, before a conversation is begun for it.

        It takes nothing, so `send` may refuse it all the same. For a caller whose limits count
        requests alone, it does nothing.

        Args:
            model: None takes the tenant's default; where that has none, there is nothing to check.

        Raises:
            RateLimited: there is no room for what its turn would hold.
            ParleyError: as `send`.
        """
        if model is None and set(caller.tenant.models) <= {CATCH_ALL}:
            return
        choice = self._choose(caller, model or caller.tenant.default_model)
        said = [PromptMessage(Role.SYSTEM, system_prompt)] if system_prompt else []
        request = CompletionRequest(
            model=choice.model,
            messages=(*said, PromptMessage(Role.USER, text)),
            parameters=parameters,
        )
        origin = Origin(dialect="", key_id=caller.key_id, user="")
        holds = [
            hold
            for hold in self._reserved(origin, caller, choice, request).holds
            if hold.account.kind is not Kind.TOKENS  # a minute is over soon anyway
        ]
        if not holds:
            return

        async def look() -> None:
            tenant = caller.tenant.id
            balances = (self._store.balance(tenant, hold.account) for hold in holds)
            for hold, balance in zip(holds, await asyncio.gather(*balances), strict=True):
                if balance.taken + hold.amount > hold.limit:
                    raise NoRoom(hold)

        await self._admitted()
        await self._with_room(caller, look)

    async def accept(
        self,
        caller: Caller,
        conversation: ConversationId,
        *,
        dialect: str,
        text: str,
        once: Once | None = None,
    ) -> tuple[Message, Message, bool]:
        """Make a message and a pending reply durable; `take_up` answers, perhaps elsewhere.

        Args:
            once: the request, where it may be repeated; then the messages are those of the first.

        Returns:
            The message, the reply, and whether they are of a request that came before.

        Raises:
            TurnInProgress: another turn isn't over, and the tenant wants one at a time.
            NotFound, ModelNotFound, MessageTooLong, ContextTooLong: as `send`; nothing is stored.
        """
        _check_size(text)
        head, newest, choice = await self._read(caller, conversation, None)
        request = _request(head, newest, text=text, choice=choice)
        origin = self._reserved(
            Origin(dialect=dialect, key_id=caller.key_id, user=head.user), caller, choice, request
        )
        try:
            said, reply = await self._append(
                caller, head, newest, text=text, model=choice.name, origin=origin, once=once
            )
        except Repeated as repeated:
            if once is None:
                raise
            once.check(repeated.done)
            [turn] = repeated.done.turns
            head = await self._store.get(caller.scope, turn.conversation)
            said, reply = await self._store.messages(
                head, first=turn.sequence - 1, last=turn.sequence
            )
            return said, reply, True
        return said, reply, False

    async def take_up(self, caller: Caller, turn: MessageId) -> Turn:
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
        running = self._start(caller, reply, choice=choice, request=request)
        await running.accepted()
        return running

    async def hear(self, caller: Caller, turn: MessageId, *, after: int = 0) -> Turn:
        """Hear a turn again, or one that another process runs.

        Returns once the model has begun to reply.

        Args:
            after: begin behind so many deltas that the turn's dialect shows.

        Raises:
            NotFound: there is no such turn in the caller's scope, or it was never streamed.
            ParleyError: the turn ended before the model had accepted it.
        """
        if turn.is_completion:
            reply = await self._store.get_completion(caller.scope, turn)
        else:
            _, reply = await self._store.get_message(caller.scope, turn)
        if reply.origin is None or not reply.origin.telling:
            raise NotFound("No such turn.")
        return await self._attach(caller.tenant.id, reply, after=after)

    async def stop(self, caller: Caller, turn: MessageId) -> None:
        """Stop a turn wherever it runs; one that has ended stays ended.

        What was said so far is settled as `stopped`, at once in this process, within
        `watch_seconds` in another.

        Raises:
            NotFound: there is no such turn in the caller's scope.
        """
        await self._store.request_stop(caller.scope, turn)
        running = self._running.get((caller.tenant.id, turn))
        if running is not None:
            running.stop()

    async def drain(self) -> None:
        """Wait until every turn of this event loop is settled; for one about to end."""
        here = asyncio.get_running_loop()

        def left() -> list[asyncio.Task[None]]:
            every = [running.seeing_through for running in self._running.values()]
            return [task for task in every if task.get_loop() is here]

        while running := left():
            await asyncio.wait(running)

    async def _again(self, caller: Caller, once: Once, done: Done) -> tuple[Turn, ...]:
        """The turns that a repeated request began.

        Raises:
            KeyReused: the key came with another request.
            ParleyError: why the first request got no reply.
        """
        once.check(done)
        scope = Scope(caller.tenant.id)  # the key says whose they are
        replies = [
            await self._store.get_completion(scope, turn)
            if turn.is_completion
            else (await self._store.get_message(scope, turn))[1]
            for turn in done.turns
        ]
        return tuple(
            await asyncio.gather(*(self._attach(caller.tenant.id, reply) for reply in replies))
        )

    async def _attach(self, tenant: str, reply: Message, *, after: int = 0) -> Turn:
        turn = ToldAgain(self._store, self._recovery, tenant, reply, after=after)
        if not await turn.has_begun():
            raise error_of(turn.reply)
        return turn

    def _reserved(
        self,
        origin: Origin,
        caller: Caller,
        choice: _Choice,
        request: CompletionRequest,
        *,
        times: int = 1,
    ) -> Origin:
        return reserved(
            origin,
            caller,
            choice.routes,
            request,
            window=choice.back_end.largest_window,
            at=self._clock.now(),
            times=times,
        )

    async def _with_room(self, caller: Caller, begin: Callable[[], Awaitable[T]]) -> T:
        """Begin turns; where there is no room, once more when what dead turns hold is released.

        Raises:
            RateLimited: there is no room for what they hold; nothing was stored.
        """
        try:
            return await begin()
        except NoRoom as full:
            no_room = full
        if no_room.hold.account.kind is not Kind.TOKENS and await self._recovery.release_dead(
            caller.tenant.id
        ):
            try:
                return await begin()
            except NoRoom as full:
                no_room = full
        if no_room.hold.account.kind is Kind.BUDGET:
            spans.measure("BudgetRefusals", 1)
        raise refusal(no_room, self._clock.now()) from no_room

    def _choose(self, caller: Caller, name: str) -> _Choice:
        routes = caller.tenant.routes(name)
        return _Choice(name, routes, self._routing.model(routes))

    async def _read(
        self, caller: Caller, conversation: ConversationId, model: str | None
    ) -> tuple[Conversation, tuple[Message, ...], _Choice]:
        """A conversation's head, what of it a model may be shown, and the model.

        How much to read depends on the model, which only the head names: the likeliest decides.
        """
        likeliest = self._choose(caller, model or next(iter(caller.tenant.models), ""))
        reading = asyncio.ensure_future(
            self._store.get_with_newest(
                caller.scope, conversation, messages_to_read(likeliest.back_end.context_window)
            )
        )
        try:
            await self._admitted()
        except BaseException:
            reading.cancel()
            raise
        head, newest = await reading
        newest = await self._recovery.mend_all(caller.tenant.id, newest)
        name = model or head.model or caller.tenant.default_model
        return head, newest, self._choose(caller, name)

    async def _append(
        self,
        caller: Caller,
        head: Conversation,
        newest: Sequence[Message],
        *,
        text: str,
        model: str,
        origin: Origin,
        once: Once | None,
        product_ids: tuple[int, ...] = (),
        tool_results: tuple[ToolResult, ...] = (),
    ) -> tuple[Message, Message]:
        """Make a message and a pending reply durable, in a conversation as `_read` found it.

        Raises:
            Repeated: the request came before.
            TurnInProgress: another turn isn't over, and the tenant wants one at a time.
            RateLimited: there is no room for what the turn would hold.
        """
        alone = caller.tenant.turns.one_at_a_time
        if alone and _is_busy(newest):
            # As it was before the turn that is running. The store refuses what comes behind that,
            # but only once it has seen that the request isn't the one that began it.
            head = replace(head, message_count=head.message_count - 2)
        return await self._with_room(
            caller,
            lambda: self._store.append_turn(
                head,
                text=text,
                model=model,
                at=self._clock.now(),
                product_ids=product_ids,
                tool_results=tool_results,
                origin=origin,
                once=once,
                alone=alone,
            ),
        )

    def _start(
        self,
        caller: Caller,
        reply: Message,
        *,
        choice: _Choice,
        request: CompletionRequest,
        is_told_again: bool = False,
    ) -> Running:
        """Run a turn of a stored conversation."""
        origin = reply.origin
        return self._run(
            Plan(
                caller=caller,
                user=origin.user if origin else caller.owner(None),
                dialect=origin.dialect if origin else "",
                model=choice.back_end,
                request=request,
                reply=reply,
                runs_on=caller.tenant.turns.stored_run_on,
                is_told_again=is_told_again or bool(origin and origin.telling),
            )
        )

    def _run(self, plan: Plan) -> Running:
        name = (plan.caller.tenant.id, plan.reply.id)
        running = Running(
            plan,
            self._store,
            self._clock,
            watch_seconds=self._watch_seconds,
            settle_pauses=self._settle_pauses,
        )
        self._running[name] = running
        running.seeing_through.add_done_callback(lambda _: self._running.pop(name))
        return running


async def _to_its_end(beginning: Coroutine[Any, Any, Running]) -> Running:
    """Begin a turn whole, though whoever waits for it may be cancelled; then the turn is left."""
    task = asyncio.ensure_future(beginning)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_leave)
        raise


def _leave(beginning: asyncio.Future[Running]) -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().leave()


def _is_busy(newest: Sequence[Message]) -> bool:
    return bool(newest) and newest[-1].status is Status.PENDING


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
