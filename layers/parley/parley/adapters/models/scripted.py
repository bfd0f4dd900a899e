"""A model that does as it is told: exact text, timing and faults, for tests and demonstrations.

Where the last message of the user begins with `script:`, a JSON list of steps follows, and they are
played one after the other:

    {"text": "Hel"}                   one delta, exactly this; "" makes none but accepts the request
    {"text": "x", "repeat": 100}      so many deltas
    {"text": "x", "wait": 0.5}        seconds before each delta
    {"wait": 0.5}                     seconds of silence
    {"think": "Hm."}                  one delta of reasoning
    {"call": "f", "arguments": {}}    a call, its arguments in several deltas; text goes as it is
    {"echo": "request"}               one delta with what reached the model, as JSON
    {"finish": "length"}              end with this reason; without it the end is "stop", or
                                      "tool_calls" after a call
    {"fail": "unavailable"}           fail here: unavailable, throttled, error or context

The request counts as accepted at the first step that is neither a wait nor a failure. To any other
message, and to what a tool answers, it replies

- with a call whose arguments fit the function's schema, where it must call one;
- with JSON, which fits the schema if there is one, where it must reply so;
- else with one sentence that counts the messages and repeats the last, word by word.

`stop`, `max_tokens` and `top_logprobs` are honoured; how to sample, how much to think and pictures
change nothing. A token of the prompt is a word, a token of the reply is a delta.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from parley.adapters.models.checks import check, check_unicode
from parley.adapters.models.samples import sample
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)
from parley.domain.tools import ToolMode
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)

PREFIX = "script:"

LONGEST_WAIT = 3600
"""Seconds."""

PIECE = 8
"""Characters of a call's arguments in one delta."""

FAULTS: dict[str, Callable[[], ParleyError]] = {
    "unavailable": lambda: ModelUnavailable("The script makes the model unavailable."),
    "throttled": lambda: ModelThrottled("The script makes the model throttle."),
    "error": lambda: ModelError("The script makes the model fail."),
    "context": lambda: ContextTooLong("The script makes the prompt too long.", param="messages"),
}


@dataclass(frozen=True, slots=True)
class Say:
    """A delta, or none if the text is empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """A delta of reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds of silence."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The end."""

    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Fail:
    """A failure, by its name in `FAULTS`."""

    fault: str


Action = Say | Think | Call | Wait | Finish | Fail


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a script: actions, done over and over."""

    actions: tuple[Action, ...]
    times: int = 1

    def __iter__(self) -> Iterator[Action]:
        for _ in range(self.times):
            yield from self.actions


class ScriptedModel:
    """Plays the script in the user's message, or answers with a sentence of its own."""

    def __init__(
        self,
        *,
        context_window: int = 4096,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.context_window = context_window
        self._sleep = sleep

    def check(self, request: CompletionRequest) -> None:
        """Refuse what no model can do, and a script that can't be read."""
        check(request)
        _script(request)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Play the script; a script that can't be read is an `InvalidRequest`."""
        self.check(request)
        steps = _script(request)
        reply = _Reply(request, self.context_window)
        for action in chain.from_iterable(steps):
            match action:
                case Wait(seconds):
                    await self._sleep(seconds)
                case Fail(fault):
                    raise FAULTS[fault]()
                case Finish(reason):
                    reply.finish_reason = reason
                case _:
                    for event in reply.utter(action):
                        yield event
            if reply.finish_reason:
                break
        for event in reply.end():
            yield event


class _Reply:
    """What has been said, with stop sequences and the token limit applied to it."""

    def __init__(self, request: CompletionRequest, context_window: int) -> None:
        self.finish_reason: FinishReason | None = None
        self._accepted = False
        self._held = ""  # not sent yet, since a stop sequence may have begun in it
        self._stop = request.parameters.stop
        self._prompt_tokens = sum(len(message.text.split()) for message in request.messages)
        self._messages = len(request.messages)
        self._top_logprobs = request.top_logprobs
        self._tokens = 0
        self._reasoning_tokens = 0
        self._calls = 0
        room = context_window - self._prompt_tokens
        if room < 1:
            raise ContextTooLong(
                f"The prompt has {self._prompt_tokens} words; the scripted model's context window "
                f"holds {context_window}.",
                param="messages",
            )
        self._limit = min(request.parameters.max_tokens or room, room)

    def utter(self, action: Say | Think | Call) -> Iterator[ModelEvent]:
        """Do one of what the caller hears of."""
        match action:
            case Say(text):
                return self.say(text)
            case Think(text):
                return self.think(text)
            case Call(name, arguments):
                return self.call(name, arguments)

    def say(self, text: str) -> Iterator[ModelEvent]:
        """Say one token and yield what can be sent; sets `finish_reason` if it was the last."""
        yield from self._accept()
        if not text:
            return
        self._count()
        self._held += text
        cuts = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if cuts:
            self._held = self._held[: min(cuts)]
            self.finish_reason = FinishReason.STOP
        elif not self.finish_reason:
            yield from self._send(len(self._held) - _begun(self._held, self._stop))

    def think(self, text: str) -> Iterator[ModelEvent]:
        """Think one token; sets `finish_reason` if it was the last."""
        yield from self._accept()
        self._reasoning_tokens += 1
        self._count()
        yield ReasoningDelta(text)

    def call(self, name: str, arguments: str) -> Iterator[ModelEvent]:
        """Call a function; sets `finish_reason` where the tokens don't suffice for it."""
        yield from self._accept()
        index, self._calls = self._calls, self._calls + 1
        pieces = [arguments[at : at + PIECE] for at in range(0, len(arguments), PIECE)]
        yield ToolCallDelta(index, "", id=f"call_{self._messages}_{index}", name=name)
        for piece in pieces:
            if self.finish_reason:
                break
            self._count()
            yield ToolCallDelta(index, piece)

    def end(self) -> Iterator[ModelEvent]:
        """Send what was held back, and the end."""
        yield from self._accept()
        yield from self._send(len(self._held))
        usage = Usage(
            max(self._prompt_tokens, 1),
            self._tokens,
            reasoning_tokens=self._reasoning_tokens,
        )
        by_itself = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        yield Completed(self.finish_reason or by_itself, usage)

    def _count(self) -> None:
        self._tokens += 1
        if self._tokens == self._limit:
            self.finish_reason = FinishReason.LENGTH

    def _accept(self) -> Iterator[ModelEvent]:
        if not self._accepted:
            self._accepted = True
            yield Accepted()

    def _send(self, length: int) -> Iterator[ModelEvent]:
        if length:
            text, self._held = self._held[:length], self._held[length:]
            yield TextDelta(text, self._logprobs(text))

    def _logprobs(self, text: str) -> tuple[Mapping[str, Any], ...]:
        if self._top_logprobs is None:
            return ()
        alternatives = [
            _logprob(text if rank == 0 else f"{text}?", rank) for rank in range(self._top_logprobs)
        ]
        return ({**_logprob(text, 0), "top_logprobs": alternatives},)


def _logprob(token: str, rank: int) -> dict[str, Any]:
    return {"token": token, "logprob": -0.25 * (rank + 1), "bytes": list(token.encode())}


def _begun(text: str, stop: Iterable[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop sequence."""
    return max(
        (
            length
            for sequence in stop
            for length in range(1, min(len(sequence), len(text) + 1))
            if text.endswith(sequence[:length])
        ),
        default=0,
    )


def _script(request: CompletionRequest) -> list[Step]:
    """What to play for this request.

    Raises:
        InvalidRequest: it has a script that can't be read.
    """
    said = [message.text for message in request.messages if message.role is Role.USER]
    last = said[-1] if said else ""
    if not last.startswith(PREFIX) or request.messages[-1].role is Role.TOOL:
        return [_improvised(request, last)]
    try:
        steps = json.loads(last.removeprefix(PREFIX))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The script is not JSON.", param="messages") from error
    if not isinstance(steps, list):
        raise InvalidRequest("The script is not a list of steps.", param="messages")
    return [_step(step, number, request) for number, step in enumerate(steps, start=1)]


def _improvised(request: CompletionRequest, last: str) -> Step:
    """What to say without a script, in the form that is asked for."""
    choice, form = request.tool_choice, request.response_format
    if request.tools and choice is not None and choice.mode is ToolMode.REQUIRED:
        tool = next((tool for tool in request.tools if tool.name == choice.name), request.tools[0])
        return Step((Call(tool.name, _fitting(tool.parameters or {"type": "object"})),))
    if request.messages[-1].role is Role.TOOL:
        last = request.messages[-1].text
    sentence = f"This is a reply to message {len(request.messages)}, which says: {last}"
    if form is not None:
        sentence = (
            json.dumps({"reply": sentence}, ensure_ascii=False)
            if form.schema is None
            else _fitting(form.schema)
        )
    return Step(tuple(Say(word) for word in re.findall(r"\s*\S+|\s+$", sentence)))


def _fitting(schema: Mapping[str, Any]) -> str:
    return json.dumps(sample(schema), ensure_ascii=False)


def _step(step: object, number: int, request: CompletionRequest) -> Step:
    match step:
        case {"text": str(text), **how} if how.keys() <= {"repeat", "wait"}:
            check_unicode(text, param="messages")
            times = how.get("repeat", 1)
            pause = _duration(how["wait"]) if "wait" in how else None
            if isinstance(times, int) and times >= 0:
                actions = (Say(text),) if pause is None else (pause, Say(text))
                return Step(actions, times if text else 1)
        case {"call": str(name), "arguments": dict() | str() as arguments, **nothing} if (
            not nothing
        ):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            check_unicode(name + text, param="messages")
            return Step((Call(name, text),))
        case dict() if len(step) == 1 and (action := _action(step, request)):
            return Step((action,))
    raise InvalidRequest(f"Step {number} of the script is unknown.", param="messages")


def _action(step: Mapping[str, object], request: CompletionRequest) -> Action | None:
    match step:
        case {"wait": seconds}:
            return _duration(seconds)
        case {"think": str(text)} if text:
            check_unicode(text, param="messages")
            return Think(text)
        case {"echo": "request"}:
            return Say(json.dumps(_asked(request), ensure_ascii=False))
        case {"finish": str(reason)} if reason in set(FinishReason):
            return Finish(FinishReason(reason))
        case {"fail": str(fault)} if fault in FAULTS:
            return Fail(fault)
    return None


def _asked(request: CompletionRequest) -> dict[str, object]:
    """All that a request says, without what it leaves open."""

    def said(fields: list[tuple[str, object]]) -> dict[str, object]:
        return {name: value for name, value in fields if value is not None and value != ()}

    return asdict(request, dict_factory=said)


def _duration(value: object) -> Wait:
    if isinstance(value, int | float) and 0 <= value <= LONGEST_WAIT:
        return Wait(value)
    raise InvalidRequest(f"A wait takes 0 to {LONGEST_WAIT} seconds.", param="messages")
