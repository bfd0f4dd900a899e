"""LangChain's `ChatOpenAI`, as it is on PyPI."""

import json
from typing import Any

import pytest
from langchain_core.messages import (  # type: ignore[import-not-found]  # in an environment of its own
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai import (  # type: ignore[import-not-found]  # in an environment of its own
    ChatOpenAI,
)
from pydantic import BaseModel

from tests.clients.python.scripts import ECHO, MODEL, PIXEL, calls_weather, script

HELLO = script({"text": "ሰላም "}, {"text": "👋"})


@pytest.fixture
def model(base_url: str, key: str) -> Any:
    return ChatOpenAI(model=MODEL, base_url=base_url, api_key=key, max_retries=0)


def weather(place: str) -> str:
    """The weather at a place."""
    return f"Sunny in {place}."


class Forecast(BaseModel):
    """What the weather will be."""

    place: str
    degrees: list[float]


FORECAST = Forecast(place="Bahir Dar", degrees=[21, 22.5])


def test_a_prompt_is_answered(model: Any) -> None:
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage(HELLO)])
    assert answer.content == "ሰላም 👋"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["output_tokens"] == 2
    total = answer.usage_metadata["input_tokens"] + answer.usage_metadata["output_tokens"]
    assert answer.usage_metadata["total_tokens"] == total


def test_a_stream_adds_up_to_the_answer_and_its_usage(model: Any) -> None:
    chunks = list(model.stream(HELLO, stream_usage=True))
    assert [chunk.content for chunk in chunks if chunk.content] == ["ሰላም ", "👋"]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content == "ሰላም 👋"
    assert whole.usage_metadata["output_tokens"] == 2


@pytest.mark.anyio
async def test_asynchronous_streams_and_batches_work_too(model: Any) -> None:
    deltas = [chunk.content async for chunk in model.astream(HELLO)]
    assert "".join(deltas) == "ሰላም 👋"
    answers = await model.abatch([script({"text": text}) for text in ("a", "b", "c")])
    assert [answer.content for answer in answers] == ["a", "b", "c"]


def test_tools_are_called_at_once_and_their_results_reach_the_model(model: Any) -> None:
    with_tools = model.bind_tools([weather])
    question = HumanMessage(calls_weather("Gondar", "Axum"))
    asked = with_tools.invoke([question])
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [
        ("weather", {"place": "Gondar"}),
        ("weather", {"place": "Axum"}),
    ]
    results = [
        ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls
    ]
    history = [question, asked, *results]
    answer = with_tools.invoke(history)
    assert not answer.tool_calls
    echoed = json.loads(with_tools.invoke([*history, HumanMessage(ECHO)]).content)
    told = [each["text"] for each in echoed["messages"] if each["role"] == "tool"]
    assert told == ["Sunny in Gondar.", "Sunny in Axum."]
    assert [tool["name"] for tool in echoed["tools"]] == ["weather"]


def test_streamed_calls_add_up_to_whole_ones(model: Any) -> None:
    chunks = list(model.bind_tools([weather]).stream(calls_weather("Lalibela", "Harar")))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert [call["args"] for call in whole.tool_calls] == [
        {"place": "Lalibela"},
        {"place": "Harar"},
    ]
    assert len([chunk for chunk in chunks if chunk.tool_call_chunks]) > 4


def test_a_tool_that_must_be_called_is_called(model: Any) -> None:
    asked = model.bind_tools([weather], tool_choice="weather").invoke("Hello.")
    assert [call["name"] for call in asked.tool_calls] == ["weather"]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_reply_has_the_structure_that_is_asked_for(model: Any, method: str) -> None:
    structured = model.with_structured_output(Forecast, method=method)
    assert structured.invoke(script({"text": FORECAST.model_dump_json()})) == FORECAST
    [*_, last] = structured.stream(script({"text": FORECAST.model_dump_json()}))
    assert last == FORECAST


def test_structure_comes_by_a_call_too(model: Any) -> None:
    structured = model.with_structured_output(Forecast, method="function_calling")
    calling = script({"call": "Forecast", "arguments": FORECAST.model_dump()})
    assert structured.invoke(calling) == FORECAST
    assert isinstance(structured.invoke("How warm is it?"), Forecast)


def test_a_picture_reaches_the_model(model: Any) -> None:
    content = [
        {"type": "text", "text": ECHO},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    told = json.loads(model.invoke([HumanMessage(content)]).content)["messages"][0]
    assert {"url": PIXEL} in told["parts"]
