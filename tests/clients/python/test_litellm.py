"""LiteLLM as a client, as it is on PyPI."""

import json
from collections.abc import Callable
from typing import Any

import litellm  # type: ignore[import-not-found]  # in an environment of its own
import pytest
from pydantic import BaseModel

from tests.clients.python.scripts import ECHO, MODEL, PIXEL, WEATHER, calls_weather, script

HELLO = script({"text": "ሰላም "}, {"text": "👋"})

TOOLS = [{"type": "function", "function": WEATHER}]

Complete = Callable[..., Any]


@pytest.fixture(params=["openai", "hosted_vllm"])
def options(request: pytest.FixtureRequest, base_url: str, key: str) -> dict[str, Any]:
    """Where to go, through OpenAI's client or through LiteLLM's own."""
    model = f"{request.param}/{MODEL}"
    return {"model": model, "api_base": base_url, "api_key": key, "max_retries": 0}


@pytest.fixture
def complete(options: dict[str, Any]) -> Complete:
    def complete(prompt: str | list[Any], **more: Any) -> Any:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return litellm.completion(messages=messages, **options, **more)

    return complete


class Forecast(BaseModel):
    """What the weather will be."""

    place: str
    degrees: list[float]


def test_a_prompt_is_answered_and_its_tokens_are_counted(complete: Complete) -> None:
    completion = complete(HELLO)
    assert completion.choices[0].message.content == "ሰላም 👋"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens == 2
    total = completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.total_tokens == total


def test_a_stream_adds_up_to_the_answer_and_its_usage(complete: Complete) -> None:
    chunks = list(complete(HELLO, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [delta for delta in deltas if delta] == ["ሰላም ", "👋"]
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == "ሰላም 👋"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == 2


@pytest.mark.anyio
async def test_asynchronous_answers_and_streams_work_too(options: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": HELLO}]
    completion = await litellm.acompletion(messages=messages, **options)
    assert completion.choices[0].message.content == "ሰላም 👋"
    stream = await litellm.acompletion(messages=messages, stream=True, **options)
    deltas = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(deltas) == "ሰላም 👋"


def test_tools_are_called_at_once_and_their_results_reach_the_model(complete: Complete) -> None:
    question = {"role": "user", "content": calls_weather("Gondar", "Axum")}
    asked = complete([question], tools=TOOLS).choices[0]
    assert asked.finish_reason == "tool_calls"
    calls = asked.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"place": "Gondar"},
        {"place": "Axum"},
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{degrees}°"}
        for call, degrees in zip(calls, (17, 23), strict=True)
    ]
    history = [question, asked.message, *results]
    assert complete(history, tools=TOOLS).choices[0].finish_reason == "stop"
    echo = {"role": "user", "content": ECHO}
    echoed = complete([*history, echo], tools=TOOLS).choices[0].message.content
    told = [each["text"] for each in json.loads(echoed)["messages"] if each["role"] == "tool"]
    assert told == ["17°", "23°"]


def test_streamed_calls_add_up_to_whole_ones(complete: Complete) -> None:
    chunks = list(complete(calls_weather("Lalibela", "Harar"), tools=TOOLS, stream=True))
    calls = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"place": "Lalibela"},
        {"place": "Harar"},
    ]
    assert len({call.id for call in calls}) == 2


def test_a_reply_has_the_structure_that_is_asked_for(complete: Complete) -> None:
    completion = complete("How warm is it?", response_format=Forecast)
    Forecast.model_validate_json(completion.choices[0].message.content)


def test_a_picture_reaches_the_model(complete: Complete) -> None:
    content = [
        {"type": "text", "text": ECHO},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    completion = complete([{"role": "user", "content": content}])
    told = json.loads(completion.choices[0].message.content)["messages"][0]
    assert {"url": PIXEL} in told["parts"]


def test_reasoning_is_kept_apart(complete: Complete) -> None:
    message = complete(script({"think": "Hm."}, {"text": "Yes."})).choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "Yes.")


def test_each_status_is_an_error_of_its_own(complete: Complete, options: dict[str, Any]) -> None:
    with pytest.raises(litellm.BadRequestError):
        complete("script:none")
    with pytest.raises(litellm.RateLimitError):
        complete(script({"fail": "throttled"}))
    with pytest.raises(litellm.ServiceUnavailableError):
        complete(script({"fail": "unavailable"}))
    options["api_key"] = "sk_test_wrong"
    with pytest.raises(litellm.AuthenticationError):
        complete(HELLO)
