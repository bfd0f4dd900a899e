"""What is the scripted model's own: it does as it is told."""

import json
from contextlib import aclosing
from typing import Any

import pytest

from parley.adapters.models.scripted import ScriptedModel
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
)
from parley.domain.turns import Accepted, Completed, ModelEvent, TextDelta
from tests.support.models import ask, prompt

pytestmark = pytest.mark.anyio


def script(*steps: Any) -> str:
    return f"script:\n{json.dumps(steps)}"


class Sleeper:
    """Notes the seconds it is asked to sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


async def events_until_failure(text: str) -> tuple[list[ModelEvent], type[BaseException]]:
    seen: list[ModelEvent] = []

    async def listen() -> None:
        async with aclosing(ScriptedModel().complete(prompt(text))) as events:
            while True:
                seen.append(await anext(events))

    with pytest.raises(ModelError) as failure:
        await listen()
    return seen, failure.type


async def test_every_text_is_one_delta() -> None:
    steps = [{"text": "ሰ"}, {"text": "  "}, {"text": "ab\n", "repeat": 2}, {"text": ""}]
    answer = await ask(ScriptedModel(), script(*steps))

    assert answer.deltas == ["ሰ", "  ", "ab\n", "ab\n"]
    assert answer.finish_reason is FinishReason.STOP
    assert answer.usage.completion_tokens == 4


async def test_waits_are_slept_where_they_stand() -> None:
    sleeper = Sleeper()
    steps = [{"wait": 2}, {"text": "a", "wait": 0.5, "repeat": 2}]
    answer = await ask(ScriptedModel(sleep=sleeper), script(*steps))

    assert sleeper.slept == [2, 0.5, 0.5]
    assert answer.text == "aa"


@pytest.mark.parametrize(
    ("fault", "error"),
    [("unavailable", ModelUnavailable), ("throttled", ModelThrottled), ("error", ModelError)],
)
async def test_it_fails_as_told_before_or_after_it_has_accepted(
    fault: str, error: type[ModelError]
) -> None:
    at_once, refusal = await events_until_failure(script({"fail": fault}, {"text": "a"}))
    later, failure = await events_until_failure(script({"text": "a"}, {"fail": fault}))

    assert at_once == []
    assert later == [Accepted(), TextDelta("a")]
    assert refusal is failure is error


async def test_an_empty_text_accepts_and_says_nothing() -> None:
    seen, _ = await events_until_failure(script({"text": ""}, {"fail": "error"}))

    assert seen == [Accepted()]


async def test_it_finds_a_prompt_too_long_when_told_to() -> None:
    with pytest.raises(ContextTooLong):
        await ask(ScriptedModel(), script({"fail": "context"}))


async def test_it_ends_as_told() -> None:
    answer = await ask(ScriptedModel(), script({"text": "a"}, {"finish": "length"}, {"text": "b"}))

    assert answer.text == "a"
    assert answer.finish_reason is FinishReason.LENGTH


async def test_the_echo_is_what_reached_the_model() -> None:
    told = script({"echo": "request"})
    answer = await ask(
        ScriptedModel(), (Role.SYSTEM, "Be brief."), told, temperature=0.5, stop=("\n\n",)
    )

    assert json.loads(answer.text) == {
        "model": "any",
        "messages": [{"role": "system", "text": "Be brief."}, {"role": "user", "text": told}],
        "parameters": {"temperature": 0.5, "stop": ["\n\n"]},
    }


async def test_without_a_script_it_repeats_the_last_message_word_by_word() -> None:
    answer = await ask(ScriptedModel(), "One.", (Role.ASSISTANT, "Two."), "Three  four.")

    assert answer.text == "This is a reply to message 3, which says: Three  four."
    assert answer.usage == Usage(prompt_tokens=4, completion_tokens=len(answer.deltas))
    assert len(answer.deltas) == 11


async def test_what_may_begin_a_stop_sequence_is_held_back_and_sent_when_it_does_not() -> None:
    steps = [{"text": "1 EN"}, {"text": "D"}, {"text": " 2 EN"}, {"text": "D!"}, {"text": "3"}]
    answer = await ask(ScriptedModel(), script(*steps), stop=("END!", "nothing"))

    assert answer.deltas == ["1 ", "END 2 "]
    assert answer.finish_reason is FinishReason.STOP
    assert answer.usage.completion_tokens == 4


async def test_the_window_bounds_prompt_and_reply() -> None:
    model = ScriptedModel(context_window=5)
    answer = await ask(model, 'script:[{"text":"a","repeat":9}]')

    assert answer.usage == Usage(prompt_tokens=1, completion_tokens=4)
    assert answer.events[-1] == Completed(FinishReason.LENGTH, answer.usage)


@pytest.mark.parametrize(
    "text",
    [
        "script:",
        "script: not JSON",
        "script: {}",
        "script:" + "[" * 100_000,
        script({"text": 1}),
        script({"text": "a", "repeat": -1}),
        script({"text": "a", "unknown": 1}),
        script({"text": "\ud800"}),
        script({"wait": -1}),
        script({"wait": 1e9}),
        "script: [{'wait': NaN}]",
        script({"fail": "unknown"}),
        script({"fail": "error", "text": "a"}),
        script("text"),
    ],
)
async def test_a_script_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(ScriptedModel(), text)
    assert refused.value.param == "messages"
