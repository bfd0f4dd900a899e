"""A model that does as it is told: exact text, timing and faults, for tests and demonstrations.

Where the last message of the user begins with `script:`, a JSON list of steps follows, and they are
played one after the other:

    {"text": "Hel"}                   one delta, exactly this; "" makes none but accepts the request
    {"text": "x", "repeat": 100}      so many deltas
    {"text": "x", "wait": 0.5}        seconds before each delta
    {"wait": 0.5}                     seconds of silence
    {"echo": "request"}               one delta with what reached the model, as JSON
    {"finish": "length"}              end with this reason; without it the end is "stop"
    {"fail": "unavailable"}           fail here: unavailable, throttled, error or context

The request counts as accepted at the first step that is neither a wait nor a failure. To any other
message it replies with one sentence that counts the messages and repeats the last, word by word.

`stop` and `max_tokens` are honoured, `temperature`, `top_p` and `seed` change nothing. A token of
the prompt is a word, a token of the reply is a delta.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain

from parley.adapters.models.checks import check, check_text_only, check_unicode
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)
from parley.domain.turns import Accepted, Completed, CompletionRequest, ModelEvent, TextDelta

PREFIX = "script:"

LONGEST_WAIT = 3600
"""Seconds."""

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


Action = Say | Wait | Finish | Fail


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
        check_text_only(request)
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
                case Say(text):
                    for event in reply.say(text):
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
        self._tokens = 0
        room = context_window - self._prompt_tokens
        if room < 1:
            raise ContextTooLong(
                f"The prompt has {self._prompt_tokens} words; the scripted model's context window "
                f"holds {context_window}.",
                param="messages",
            )
        self._limit = min(request.parameters.max_tokens or room, room)

    def say(self, text: str) -> Iterator[ModelEvent]:
        """Say one token and yield what can be sent; sets `finish_reason` if it was the last."""
        yield from self._accept()
        if not text:
            return
        self._tokens += 1
        self._held += text
        cuts = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if cuts:
            self._held = self._held[: min(cuts)]
            self.finish_reason = FinishReason.STOP
        elif self._tokens == self._limit:
            self.finish_reason = FinishReason.LENGTH
        else:
            yield from self._send(len(self._held) - _begun(self._held, self._stop))

    def end(self) -> Iterator[ModelEvent]:
        """Send what was held back, and the end."""
        yield from self._accept()
        yield from self._send(len(self._held))
        usage = Usage(max(self._prompt_tokens, 1), self._tokens)
        yield Completed(self.finish_reason or FinishReason.STOP, usage)

    def _accept(self) -> Iterator[ModelEvent]:
        if not self._accepted:
            self._accepted = True
            yield Accepted()

    def _send(self, length: int) -> Iterator[ModelEvent]:
        if length:
            text, self._held = self._held[:length], self._held[length:]
            yield TextDelta(text)


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
    if not last.startswith(PREFIX):
        sentence = f"This is a reply to message {len(request.messages)}, which says: {last}"
        return [Step(tuple(Say(word) for word in re.findall(r"\s*\S+|\s+$", sentence)))]
    try:
        steps = json.loads(last.removeprefix(PREFIX))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The script is not JSON.", param="messages") from error
    if not isinstance(steps, list):
        raise InvalidRequest("The script is not a list of steps.", param="messages")
    return [_step(step, number, request) for number, step in enumerate(steps, start=1)]


def _step(step: object, number: int, request: CompletionRequest) -> Step:
    match step:
        case {"text": str(text), **how} if how.keys() <= {"repeat", "wait"}:
            check_unicode(text, param="messages")
            times = how.get("repeat", 1)
            pause = _duration(how["wait"]) if "wait" in how else None
            if isinstance(times, int) and times >= 0:
                actions = (Say(text),) if pause is None else (pause, Say(text))
                return Step(actions, times if text else 1)
        case {"wait": seconds, **nothing} if not nothing:
            return Step((_duration(seconds),))
        case {"echo": "request", **nothing} if not nothing:
            return Step((Say(json.dumps(_asked(request), ensure_ascii=False)),))
        case {"finish": "stop" | "length" as reason, **nothing} if not nothing:
            return Step((Finish(FinishReason(reason)),))
        case {"fail": str(fault), **nothing} if fault in FAULTS and not nothing:
            return Step((Fail(fault),))
    raise InvalidRequest(f"Step {number} of the script is unknown.", param="messages")


def _asked(request: CompletionRequest) -> dict[str, object]:
    """All that a request says, without what it leaves open."""

    def said(fields: list[tuple[str, object]]) -> dict[str, object]:
        return {name: value for name, value in fields if value is not None and value != ()}

    return asdict(request, dict_factory=said)


def _duration(value: object) -> Wait:
    if isinstance(value, int | float) and 0 <= value <= LONGEST_WAIT:
        return Wait(value)
    raise InvalidRequest(f"A wait takes 0 to {LONGEST_WAIT} seconds.", param="messages")
