"""OpenAI's client for Python, as it is on PyPI."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.clients.python.scripts import ECHO, MODEL, PIXEL, WEATHER, calls_weather, script


@pytest.fixture
def client(base_url: str, key: str) -> Iterator[openai.OpenAI]:
    """A client that refuses replies which aren't as OpenAI describes them."""
    with openai.OpenAI(
        base_url=base_url, api_key=key, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def asynchronous(base_url: str, key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key=key, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def says(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


TOOLS: list[Any] = [{"type": "function", "function": WEATHER}]

HELLO = script({"text": "ሰላም "}, {"text": "👋"})


def test_a_prompt_is_answered(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=says(HELLO))
    [choice] = completion.choices
    assert (choice.message.content, choice.finish_reason) == ("ሰላም 👋", "stop")
    assert completion.model == MODEL
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 2


def test_a_stream_arrives_delta_by_delta(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=says(HELLO), stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    deltas = [chunk.choices[0].delta.content for chunk in chunks]
    assert [delta for delta in deltas if delta] == ["ሰላም ", "👋"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == 2


def test_a_streams_events_add_up_to_a_completion(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=says(HELLO)) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        completion = stream.get_final_completion()
    assert [delta for delta in deltas if delta] == ["ሰላም ", "👋"]
    assert completion.choices[0].message.content == "ሰላም 👋"


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(asynchronous: openai.AsyncOpenAI) -> None:
    completion = await asynchronous.chat.completions.create(model=MODEL, messages=says(HELLO))
    assert completion.choices[0].message.content == "ሰላም 👋"
    stream = await asynchronous.chat.completions.create(
        model=MODEL, messages=says(HELLO), stream=True
    )
    deltas = [chunk.choices[0].delta.content async for chunk in stream]
    assert [delta for delta in deltas if delta] == ["ሰላም ", "👋"]


def test_tools_are_called_at_once_and_their_results_reach_the_model(
    client: openai.OpenAI,
) -> None:
    messages = says(calls_weather("Gondar", "Axum"))
    asked = client.chat.completions.create(
        model=MODEL, messages=messages, tools=TOOLS, parallel_tool_calls=True
    ).choices[0]
    assert asked.finish_reason == "tool_calls"
    calls: list[Any] = asked.message.tool_calls or []
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("weather", {"place": "Gondar"}),
        ("weather", {"place": "Axum"}),
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{degrees}°"}
        for call, degrees in zip(calls, (17, 23), strict=True)
    ]
    history: Any = [*messages, asked.message, *results]
    answer = client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS).choices[0]
    assert answer.finish_reason == "stop"

    echoed = client.chat.completions.create(model=MODEL, messages=[*history, *says(ECHO)])
    told = json.loads(echoed.choices[0].message.content or "")["messages"]
    assert [(each["tool_call_id"], each["text"]) for each in told if each["role"] == "tool"] == [
        (calls[0].id, "17°"),
        (calls[1].id, "23°"),
    ]
    [replied] = [each for each in told if each["role"] == "assistant"]
    assert [call["id"] for call in replied["tool_calls"]] == [call.id for call in calls]


def test_arguments_of_calls_are_streamed_in_pieces(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=says(calls_weather("Lalibela", "Harar")), tools=TOOLS
    ) as stream:
        pieces = [
            (event.index, event.arguments_delta)
            for event in stream
            if event.type == "tool_calls.function.arguments.delta"
        ]
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls: list[Any] = choice.message.tool_calls or []
    assert len({call.id for call in calls}) == 2
    for index, place in enumerate(("Lalibela", "Harar")):
        assert json.loads(calls[index].function.arguments) == {"place": place}
        in_pieces = [piece for at, piece in pieces if at == index and piece]
        assert len(in_pieces) > 1
        assert "".join(in_pieces) == calls[index].function.arguments


NAMED = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        NAMED,
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}},
    ],
)
def test_a_tool_that_must_be_called_is_called(client: openai.OpenAI, choice: Any) -> None:
    asked = client.chat.completions.create(
        model=MODEL, messages=says("Hello."), tools=TOOLS, tool_choice=choice
    ).choices[0]
    [call] = asked.message.tool_calls or []
    assert call.type == "function"
    assert "place" in json.loads(call.function.arguments)


class Forecast(BaseModel):
    """What a reply is parsed into."""

    place: str
    degrees: list[float]


FORECAST = '{"place": "Bahir Dar", "degrees": [21, 22.5]}'


def test_a_reply_is_parsed_into_a_class(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model=MODEL, messages=says(script({"text": FORECAST})), response_format=Forecast
    )
    assert parsed.choices[0].message.parsed == Forecast(place="Bahir Dar", degrees=[21, 22.5])
    fitting = client.chat.completions.parse(
        model=MODEL, messages=says("How warm is it?"), response_format=Forecast
    )
    assert fitting.choices[0].message.parsed is not None


def test_a_streamed_reply_is_parsed_into_a_class(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=says(script(*({"text": letter} for letter in FORECAST))),
        response_format=Forecast,
    ) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert parsed == Forecast(place="Bahir Dar", degrees=[21, 22.5])


def test_arguments_of_a_call_are_parsed_into_a_class(client: openai.OpenAI) -> None:
    tool = openai.pydantic_function_tool(Forecast, name="forecast")
    parsed = client.chat.completions.parse(
        model=MODEL,
        messages=says(script({"call": "forecast", "arguments": FORECAST})),
        tools=[tool],
    )
    [call] = parsed.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Forecast(place="Bahir Dar", degrees=[21, 22.5])


def test_a_reply_that_was_cut_off_is_not_parsed(client: openai.OpenAI) -> None:
    cut = script({"text": '{"place": '}, {"finish": "length"})
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=says(cut), response_format=Forecast)


def test_any_json_can_be_asked_for(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=says("Hello."), response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(completion.choices[0].message.content or ""), dict)


def test_a_picture_reaches_the_model(client: openai.OpenAI) -> None:
    content: Any = [
        {"type": "text", "text": ECHO},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    completion = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}]
    )
    told = json.loads(completion.choices[0].message.content or "")["messages"][0]
    assert {"url": PIXEL, "detail": "low"} in told["parts"]


@pytest.mark.parametrize("streamed", [False, True])
def test_several_replies_come_side_by_side(client: openai.OpenAI, *, streamed: bool) -> None:
    said = {0: "", 1: "", 2: ""}
    if streamed:
        for chunk in client.chat.completions.create(
            model=MODEL, messages=says(HELLO), n=3, stream=True
        ):
            for piece in chunk.choices:
                said[piece.index] += piece.delta.content or ""
    else:
        completion = client.chat.completions.create(model=MODEL, messages=says(HELLO), n=3)
        for choice in completion.choices:
            said[choice.index] += choice.message.content or ""
    assert said == dict.fromkeys(range(3), "ሰላም 👋")


def test_each_token_has_its_probability(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=says(HELLO), logprobs=True, top_logprobs=2
    )
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    tokens = logprobs.content or []
    assert [token.token for token in tokens] == ["ሰላም ", "👋"]
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
    with client.chat.completions.stream(
        model=MODEL, messages=says(HELLO), logprobs=True, top_logprobs=2
    ) as stream:
        streamed = stream.get_final_completion().choices[0].logprobs
    assert streamed is not None
    assert streamed.content == tokens


def test_a_stored_completion_is_listed_read_and_deleted(base_url: str, key: str) -> None:
    # The client's type of a stored message knows assistants' alone, so it isn't strict here.
    client = openai.OpenAI(base_url=base_url, api_key=key)
    completions = client.chat.completions
    kept = completions.create(
        model=MODEL, messages=says(HELLO), store=True, metadata={"client": openai.__version__}
    )
    assert completions.retrieve(kept.id).choices == kept.choices
    listed = completions.list(metadata={"client": openai.__version__}, limit=1)
    assert [each.id for each in listed] == [kept.id]
    assert [each.content for each in completions.messages.list(kept.id)] == [HELLO]
    updated = completions.update(kept.id, metadata={"client": "none"})
    assert updated.metadata == {"client": "none"}
    assert completions.delete(kept.id).deleted
    with pytest.raises(openai.NotFoundError):
        completions.retrieve(kept.id)


def test_each_status_is_an_error_of_its_own(client: openai.OpenAI) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as bad:
        create(model=MODEL, messages=says("Hello."), temperature=3)
    assert (bad.value.type, bad.value.param) == ("invalid_request_error", "temperature")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk_test_wrong").models.list()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve("chatcmpl-none")
    with pytest.raises(openai.RateLimitError):
        create(model=MODEL, messages=says(script({"fail": "throttled"})))
    with pytest.raises(openai.InternalServerError) as unavailable:
        create(model=MODEL, messages=says(script({"fail": "unavailable"})), stream=True)
    assert unavailable.value.status_code == 503
    with pytest.raises(openai.APITimeoutError):
        create(model=MODEL, messages=says(script({"wait": 5})), timeout=0.2)
    stream = create(
        model=MODEL, messages=says(script({"text": "half"}, {"fail": "error"})), stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert "scripted" in listed
    assert client.models.retrieve("scripted").id == "scripted"


def test_a_reply_and_an_error_carry_the_requests_id(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=says(HELLO))
    assert raw.request_id
    completion = raw.parse()
    assert completion.choices[0].message.content == "ሰላም 👋"
    assert completion._request_id == raw.request_id
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=says(HELLO), stream=True
    ) as response:
        assert response.request_id not in {None, raw.request_id}
        assert "".join(response.iter_text()).endswith("data: [DONE]\n\n")
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.retrieve("chatcmpl-none")
    assert refused.value.request_id
