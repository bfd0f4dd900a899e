"""Every route of the openai dialect, through the deployed entry point and its event file."""

import json

from tests.routes.conftest import Invoke


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
