"""Every route of the openai dialect, through the deployed entry point and its event file."""

import json
from typing import Any

from tests.routes.conftest import Invoke, Reply


def test_list_models_names_what_the_tenant_may_use(invoke: Invoke) -> None:
    reply = invoke("openai/list_models")
    assert reply.status == 200
    assert reply.json["object"] == "list"
    assert [model["id"] for model in reply.json["data"]] == ["wesen-chat-v1", "smollm2-135m"]


def test_get_model_describes_one(invoke: Invoke) -> None:
    reply = invoke("openai/get_model")
    assert reply.status == 200
    assert reply.json["id"] == "wesen-chat-v1"
    assert reply.json["object"] == "model"


def test_create_completion_answers_with_the_whole_stream_where_nothing_can_stream(
    invoke: Invoke,
) -> None:
    reply = invoke("openai/create_completion")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    *events, end = reply.text.split("\n\n")
    assert end == ""
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] in {"stop", "length"}
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_create_completion_answers_with_one_object_when_asked_for_no_stream(invoke: Invoke) -> None:
    reply = invoke("openai/create_completion", stream=False)
    assert reply.status == 200
    assert reply.json["object"] == "chat.completion"
    assert reply.json["choices"][0]["message"]["content"]
    assert reply.json["usage"]["total_tokens"] > 0


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    "required": ["city", "days"],
}
TOOLS = [{"type": "function", "function": {"name": "forecast", "parameters": SCHEMA}}]


def script(*steps: object) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"script:{json.dumps(steps)}"}]


def chunks(reply: Reply) -> list[Any]:
    assert reply.text.endswith("data: [DONE]\n\n")
    events = reply.text.split("\n\n")[:-2]
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_create_completion_streams_calls_piece_by_piece(invoke: Invoke) -> None:
    steps = [
        {"think": "Two cities."},
        {"call": "forecast", "arguments": {"city": "Gondar", "days": 3}},
        {"call": "forecast", "arguments": "{}"},
    ]
    reply = invoke("openai/create_completion", messages=script(*steps), tools=TOOLS)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(reply)[:-1]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Two cities."
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    for index, arguments in enumerate(['{"city": "Gondar", "days": 3}', "{}"]):
        first, *more = [piece for piece in pieces if piece["index"] == index]
        assert first["function"] == {"name": "forecast", "arguments": ""}
        assert first["id"]
        assert "".join(piece["function"]["arguments"] for piece in more) == arguments
    assert chunks(reply)[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks(reply)[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


def test_create_completion_answers_with_calls_as_a_whole(invoke: Invoke) -> None:
    reply = invoke(
        "openai/create_completion",
        stream=False,
        messages=[{"role": "user", "content": "How is the weather?"}],
        tools=TOOLS,
        tool_choice="required",
    )
    (choice,) = reply.json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "forecast"
    assert json.loads(call["function"]["arguments"]) == {"city": "text", "days": 3}


def test_create_completion_keeps_to_a_schema(invoke: Invoke) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}
    reply = invoke(
        "openai/create_completion",
        stream=False,
        messages=[{"role": "user", "content": "How is the weather?"}],
        response_format=form,
    )
    content = json.loads(reply.json["choices"][0]["message"]["content"])
    assert content == {"city": "text", "days": 3}


def test_create_completion_tells_probabilities(invoke: Invoke) -> None:
    asked = {"messages": script({"text": "a"}, {"text": "b"}), "logprobs": True, "top_logprobs": 2}
    whole = invoke("openai/create_completion", stream=False, **asked)
    told = whole.json["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in told] == ["a", "b"]
    assert [len(each["top_logprobs"]) for each in told] == [2, 2]
    streamed = [
        each
        for chunk in chunks(invoke("openai/create_completion", **asked))
        for choice in chunk["choices"]
        for each in (choice["logprobs"] or {}).get("content", ())
    ]
    assert streamed == told


def test_create_completion_gives_several_choices(invoke: Invoke) -> None:
    asked = {"messages": script({"text": "a"}, {"text": "b"}), "n": 3}
    whole = invoke("openai/create_completion", stream=False, **asked).json
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["ab"] * 3
    assert whole["usage"]["completion_tokens"] == 6

    streamed = chunks(invoke("openai/create_completion", **asked))
    for index in range(3):
        mine = [
            choice for chunk in streamed for choice in chunk["choices"] if choice["index"] == index
        ]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == "ab"
        assert [choice["finish_reason"] for choice in mine] == [None] * (len(mine) - 1) + ["stop"]
    assert streamed[-1]["usage"] == whole["usage"]


def test_create_completion_fails_as_a_whole_where_one_choice_does(invoke: Invoke) -> None:
    asked = {"messages": script({"text": "a"}, {"fail": "error"}), "n": 2}
    assert invoke("openai/create_completion", stream=False, **asked).status == 502
    streamed = invoke("openai/create_completion", **asked).text
    assert '"code":"model_error"' in streamed
    assert "[DONE]" not in streamed
