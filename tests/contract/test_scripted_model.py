"""What is the scripted model's own: it does as it is told."""

import json
from contextlib import aclosing
from dataclasses import replace
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
from parley.domain.tools import Tool, ToolChoice, ToolMode
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    ModelEvent,
    ReasoningDelta,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
)
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


SCHEMA = {
    "$defs": {"Unit": {"enum": ["C", "F"]}},
    "type": "object",
    "properties": {
        "city": {"type": ["null", "string"], "minLength": 6},
        "days": {"type": "integer", "exclusiveMinimum": 2},
        "unit": {"$ref": "#/$defs/Unit"},
        "hours": {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "left out": {"type": "string"},
    },
    "required": ["city", "days", "unit", "hours", "note"],
}
FITTING = {"city": "text..", "days": 3, "unit": "C", "hours": [False], "note": None}
TOOLS = (Tool(name="f"), Tool(name="g", parameters=SCHEMA))


async def events_of(request: CompletionRequest) -> list[ModelEvent]:
    async with aclosing(ScriptedModel().complete(request)) as events:
        return [event async for event in events]


async def test_calls_are_made_in_pieces_one_after_the_other() -> None:
    steps = script({"call": "f", "arguments": {"a": "some text"}}, {"call": "g", "arguments": ""})
    events = await events_of(prompt(steps))

    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    first = [call for call in calls if call.index == 0]
    assert (first[0].name, calls[-1].name) == ("f", "g")
    assert len({call.id for call in calls if call.id}) == 2
    assert len(first) > 2
    assert json.loads("".join(call.arguments for call in first)) == {"a": "some text"}
    assert events[-1] == Completed(FinishReason.TOOL_CALLS, Usage(11, len(first) - 1))


async def test_calls_end_at_max_tokens() -> None:
    steps = script({"call": "f", "arguments": "x" * 100})
    events = await events_of(prompt(steps, max_tokens=1))

    assert isinstance(events[-1], Completed)
    assert events[-1].finish_reason is FinishReason.LENGTH
    assert len(events) == 4


async def test_thoughts_are_not_part_of_the_reply() -> None:
    events = await events_of(prompt(script({"think": "Hm."}, {"text": "Yes."})))

    assert events[1:3] == [ReasoningDelta("Hm."), TextDelta("Yes.")]
    assert events[3] == Completed(FinishReason.STOP, Usage(5, 2, reasoning_tokens=1))


@pytest.mark.parametrize(
    ("choice", "name", "arguments"),
    [(ToolChoice(ToolMode.REQUIRED), "f", {}), (ToolChoice(ToolMode.REQUIRED, "g"), "g", FITTING)],
)
async def test_without_a_script_it_calls_what_it_must(
    choice: ToolChoice, name: str, arguments: object
) -> None:
    events = await events_of(replace(prompt("Hi"), tools=TOOLS, tool_choice=choice))

    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert calls[0].name == name
    assert json.loads("".join(call.arguments for call in calls)) == arguments


async def test_a_tools_answer_ends_the_script() -> None:
    request = prompt(script({"call": "f", "arguments": {}}), (Role.TOOL, "21 degrees"))
    events = await events_of(request)

    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == "This is a reply to message 2, which says: 21 degrees"


async def test_without_a_script_it_replies_in_the_form_it_is_asked_for() -> None:
    for form, content in [
        (ResponseFormat(), {"reply": "This is a reply to message 1, which says: Hi"}),
        (ResponseFormat(schema=SCHEMA), FITTING),
    ]:
        events = await events_of(replace(prompt("Hi"), response_format=form))
        said = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert json.loads(said) == content


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": []},
        {"required": 5, "type": "object"},
        {"enum": 7},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 2},
    ],
)
async def test_it_says_something_to_any_schema(schema: dict[str, Any]) -> None:
    events = await events_of(replace(prompt("Hi"), response_format=ResponseFormat(schema=schema)))

    assert isinstance(events[-1], Completed)


async def test_probabilities_are_told_of_every_token() -> None:
    events = await events_of(replace(prompt(script({"text": "ሰ"})), top_logprobs=1))

    assert events[1] == TextDelta(
        "ሰ",
        (
            {
                "token": "ሰ",
                "logprob": -0.25,
                "bytes": [225, 136, 176],
                "top_logprobs": [
                    {"token": "ሰ", "logprob": -0.25, "bytes": [225, 136, 176]},
                ],
            },
        ),
    )
