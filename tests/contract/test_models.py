"""What every model keeps; no test says what a model should answer."""

import asyncio
import json
import math
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from parley.domain.conversations import FinishReason, Role
from parley.domain.errors import ContextTooLong, InvalidRequest
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import (
    Accepted,
    Completed,
    PromptMessage,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
)
from parley.ports import Model
from tests.contract.conftest import Subject
from tests.support.models import ask, ask_for, prompt

pytestmark = pytest.mark.anyio

PROMPTLY = 8.0
"""Seconds within which a free model answers and before which an endless reply doesn't end."""


@pytest.fixture
def model(subject: Subject) -> Model:
    return subject.model


async def test_a_reply_is_accepted_then_told_then_completed(model: Model) -> None:
    answer = await ask(model, "Say hello.", max_tokens=5)

    kinds = [type(event) for event in answer.events]
    assert kinds == [Accepted, *[TextDelta] * (len(kinds) - 2), Completed]
    assert len(kinds) > 3


async def test_deltas_are_whole_characters_and_never_empty(model: Model) -> None:
    answer = await ask(model, "Repeat: ሰላም ለዓለም 😀 Привет 👩🏽‍🚀", max_tokens=60)

    assert all(answer.deltas)
    assert answer.text.encode().decode() == answer.text
    assert "\N{REPLACEMENT CHARACTER}" not in answer.text


async def test_usage_counts_the_prompt_and_the_reply(model: Model) -> None:
    one = await ask(model, "Say hello.", max_tokens=3)
    three = await ask(
        model, "Say hello.", (Role.ASSISTANT, "Hello there."), "Say it again.", max_tokens=3
    )

    assert 0 < one.usage.prompt_tokens < three.usage.prompt_tokens
    assert one.usage.completion_tokens == three.usage.completion_tokens == 3
    assert one.usage.total_tokens == one.usage.prompt_tokens + 3


async def test_a_reply_ends_at_max_tokens(subject: Subject) -> None:
    answer = await ask(subject.model, subject.endless, max_tokens=4)

    assert answer.finish_reason is FinishReason.LENGTH
    assert answer.usage.completion_tokens == 4


async def test_a_reply_ends_before_a_stop_sequence(subject: Subject) -> None:
    whole = await ask(subject.model, subject.endless, max_tokens=16)
    across_two_deltas = whole.deltas[2][-1] + whole.deltas[3][0]
    cut = await ask(subject.model, subject.endless, max_tokens=16, stop=("\0", across_two_deltas))

    assert cut.finish_reason is FinishReason.STOP
    assert cut.text == whole.text[: whole.text.index(across_two_deltas)]


@pytest.mark.parametrize("parameters", [{}, {"temperature": 0.0}, {"temperature": 1.0, "seed": 7}])
async def test_the_same_request_gets_the_same_reply(
    subject: Subject, parameters: dict[str, Any]
) -> None:
    if "seed" in subject.refuses:
        parameters = {name: value for name, value in parameters.items() if name != "seed"}
    first, second = [
        await ask(subject.model, "Tell me of a river.", max_tokens=12, **parameters)
        for _ in range(2)
    ]

    assert first.text == second.text
    assert first.usage.total_tokens == second.usage.total_tokens  # some may come from a cache


async def test_several_replies_are_made_at_once_and_each_ends(model: Model) -> None:
    answers = await asyncio.gather(
        *(ask(model, f"Tell me of the number {number}.", max_tokens=4) for number in range(5))
    )

    assert all(answer.accepted and answer.text for answer in answers)


async def test_closing_early_makes_room_for_the_next(subject: Subject) -> None:
    for _ in range(4):
        async with aclosing(subject.model.complete(prompt(subject.endless))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break

    async with asyncio.timeout(PROMPTLY):
        await ask(subject.model, "Say hello.", max_tokens=1)


async def test_cancelling_the_reading_tasks_makes_room_for_the_next(subject: Subject) -> None:
    started = asyncio.Semaphore(0)

    async def listen() -> None:
        async with aclosing(subject.model.complete(prompt(subject.endless))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    started.release()

    listening = [asyncio.create_task(listen()) for _ in range(6)]
    await started.acquire()  # the others may still wait for their turn
    async with asyncio.timeout(PROMPTLY):
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)
        await ask(subject.model, "Say hello.", max_tokens=1)

    assert all(task.cancelled() for task in listening)


async def test_a_prompt_longer_than_the_window_is_refused_before_it_is_accepted(
    model: Model,
) -> None:
    events = model.complete(prompt("word " * model.context_window * 2))

    with pytest.raises(ContextTooLong) as refused:
        await anext(events)
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", -0.1),
        ("top_p", 1.1),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("stop", ("",)),
        ("stop", ("\ud800",)),
    ],
)
async def test_an_impossible_parameter_is_refused_by_name(
    model: Model, param: str, value: Any
) -> None:
    events = model.complete(prompt("Say hello.", **{param: value}))

    with pytest.raises(InvalidRequest) as refused:
        await anext(events)
    assert refused.value.param == param


async def test_text_that_is_not_unicode_is_refused(model: Model) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(model, "Say \ud800.")
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(tuple((role, "Be brief.") for role in Role), id="every role"),
        pytest.param(((Role.SYSTEM, "Be brief."),), id="no user"),
        pytest.param(("Hello.", (Role.ASSISTANT, "Hello."), (Role.ASSISTANT, "")), id="no answer"),
        pytest.param(("",), id="empty"),
        pytest.param(("\0\x01\x1b\x7f\uffff\U0010ffff\u202e",), id="control characters"),
        pytest.param(("<|im_end|>\n<|im_start|>system\n<|endoftext|></s>",), id="control tokens"),
        pytest.param(("a",) * 40, id="forty messages"),
    ],
)
async def test_odd_conversations_are_answered(
    model: Model, messages: tuple[str | tuple[Role, str], ...]
) -> None:
    assert (await ask(model, *messages, max_tokens=2)).accepted


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 1e308, "max_tokens": 2},
        {"temperature": 5e-324, "top_p": 5e-324, "max_tokens": 2},
        {"temperature": 1.0, "seed": -1, "max_tokens": 2},
        {"temperature": 1.0, "seed": 2**70, "max_tokens": 2},
        {"max_tokens": 2**70, "stop": (" ",)},
        {"stop": (*(f"{number}" for number in range(1000)), " ", "z" * 100_000)},
    ],
)
async def test_extreme_parameters_are_taken_or_refused_by_name(
    subject: Subject, parameters: dict[str, Any]
) -> None:
    try:
        fine = (await ask(subject.model, "Tell me of a river.", **parameters)).accepted
    except InvalidRequest as refused:
        fine = refused.param in subject.refuses & parameters.keys()

    assert fine


LOOK = Tool(
    name="look",
    description="Looks somewhere.",
    parameters={
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
)


@pytest.mark.parametrize(
    ("param", "asked"),
    [
        ("tools", {"tools": (LOOK,)}),
        ("response_format", {"response_format": ResponseFormat(schema={"type": "object"})}),
        ("logprobs", {"top_logprobs": 1}),
        ("reasoning_effort", {"reasoning_effort": "low"}),
    ],
)
async def test_what_a_model_can_not_do_is_refused_by_name_and_all_else_is_done(
    subject: Subject, param: str, asked: dict[str, Any]
) -> None:
    request = replace(prompt("Say hello.", max_tokens=8), **asked)
    try:
        subject.model.check(request)
        fine = (await ask_for(subject.model, request)).accepted
    except InvalidRequest as refused:
        fine = refused.param == param in subject.refuses

    assert fine


@pytest.mark.parametrize("name", [None, "look"])
async def test_a_call_is_told_in_pieces_that_make_a_whole(
    subject: Subject, name: str | None
) -> None:
    if "tools" in subject.refuses:
        pytest.skip("it has no tools")
    choice = ToolChoice(ToolMode.REQUIRED, name)
    request = replace(prompt("Look."), tools=(LOOK,), tool_choice=choice)

    answer = await ask_for(subject.model, request)

    first, *pieces = [one for one in answer.events if isinstance(one, ToolCallDelta)]
    assert first.name == "look"
    assert first.id
    assert {(one.index, one.id, one.name) for one in pieces} == {(0, None, None)}
    arguments = json.loads("".join(one.arguments for one in (first, *pieces)))
    assert isinstance(arguments["place"], str)
    assert answer.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("tools", [(LOOK,), ()], ids=["tools", "no tools any more"])
async def test_a_conversation_goes_on_behind_a_call(
    subject: Subject, tools: tuple[Tool, ...]
) -> None:
    if tools and "tools" in subject.refuses:
        pytest.skip("it has no tools")
    call = ToolCall("call_1", "look", '{"place": "Gondar"}')
    said = (
        PromptMessage(Role.USER, "Look."),
        PromptMessage(Role.ASSISTANT, "", tool_calls=(call,)),
        PromptMessage(Role.TOOL, "A castle.", tool_call_id="call_1"),
    )

    answer = await ask_for(
        subject.model, replace(prompt(max_tokens=20), messages=said, tools=tools)
    )

    assert answer.text
    assert answer.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}


async def test_probabilities_are_told_of_all_text(subject: Subject) -> None:
    if "logprobs" in subject.refuses:
        pytest.skip("it tells no probabilities")
    request = replace(prompt("Say hello.", max_tokens=5), top_logprobs=2)

    answer = await ask_for(subject.model, request)

    told = [token for one in answer.events if isinstance(one, TextDelta) for token in one.logprobs]
    assert "".join(token["token"] for token in told) == answer.text
    assert all(token["logprob"] <= 0 for token in told)
    assert all(len(token["top_logprobs"]) == 2 for token in told)
