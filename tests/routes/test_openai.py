"""Every route of the openai dialect, through the deployed entry point and its event file."""

import asyncio
import json
from typing import Any

import pytest

from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from tests.routes.conftest import Invoke, Reply
from tests.support.completions import WIRE_ID, kept
from tests.support.sse import data


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
    assert reply.text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(event) for event in data(reply.text)[:-1]]
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
    return [json.loads(event) for event in data(reply.text)[:-1]]


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


def test_create_completion_offers_only_the_tools_that_are_allowed(invoke: Invoke) -> None:
    named = {"type": "function", "function": {"name": "alarm"}}
    reply = invoke(
        "openai/create_completion",
        stream=False,
        messages=[{"role": "user", "content": "How is the weather?"}],
        tools=[*TOOLS, named],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [named]},
        },
    )
    (call,) = reply.json["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "alarm"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is this?"},
                            {"type": "image_url", "image_url": {"url": "http://a.example/b.png"}},
                        ],
                    }
                ]
            },
            "messages.0.content.1.image_url.url",
        ),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": "any"}, "tool_choice"),
    ],
)
def test_create_completion_names_what_is_wrong_in_a_field_of_several_forms(
    invoke: Invoke, fields: dict[str, Any], param: str
) -> None:
    reply = invoke("openai/create_completion", **fields)
    assert reply.status == 400
    assert reply.json["error"]["param"] == param


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
    asked: dict[str, Any] = {
        "messages": script({"text": "a"}, {"text": "b"}),
        "logprobs": True,
        "top_logprobs": 2,
    }
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
    asked: dict[str, Any] = {"messages": script({"text": "a"}, {"text": "b"}), "n": 3}
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
    asked: dict[str, Any] = {"messages": script({"text": "a"}, {"fail": "error"}), "n": 2}
    assert invoke("openai/create_completion", stream=False, **asked).status == 502
    streamed = invoke("openai/create_completion", **asked).text
    assert '"code":"model_error"' in streamed
    assert "[DONE]" not in streamed


@pytest.fixture
def stored(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> str:
    """The id of the stored completion that event files name."""
    completions = DynamoCompletions(services.basics.database, services.basics.tables)
    loop.run_until_complete(completions.keep(kept()))
    return WIRE_ID


def test_create_completion_keeps_what_it_is_asked_to(invoke: Invoke) -> None:
    asked: dict[str, Any] = {
        "messages": script({"text": "Hi."}),
        "store": True,
        "metadata": {"topic": "weather"},
        "n": 2,
    }
    whole = invoke("openai/create_completion", stream=False, **asked).json
    streamed = chunks(invoke("openai/create_completion", **asked))
    assert whole["metadata"] == {"topic": "weather"}
    listed = invoke("openai/list_completions").json
    assert [each["id"] for each in listed["data"]] == [streamed[0]["id"], whole["id"]]
    assert listed["data"][1] == whole
    assert [choice["message"]["content"] for choice in listed["data"][0]["choices"]] == ["Hi."] * 2


@pytest.mark.parametrize("fields", [{}, {"store": False}, {"store": None}])
def test_create_completion_keeps_nothing_else(invoke: Invoke, fields: dict[str, Any]) -> None:
    metadata = {"topic": "weather"}
    invoke("openai/create_completion", stream=False, metadata=metadata, **fields)
    assert invoke("openai/list_completions").json["data"] == []


def test_create_completion_keeps_no_half_of_one(invoke: Invoke) -> None:
    said = script({"text": "a"}, {"fail": "error"})
    assert "[DONE]" not in invoke("openai/create_completion", messages=said, store=True).text
    assert invoke("openai/list_completions", query=None).json["data"] == []


def test_get_completion_shows_a_stored_one(invoke: Invoke, stored: str) -> None:
    reply = invoke("openai/get_completion")
    assert reply.status == 200
    assert reply.json["id"] == stored
    assert reply.json["choices"][0]["message"]["content"] == "It is warm."
    assert reply.json["usage"]["total_tokens"] == 9
    assert reply.json["metadata"] == {"topic": "weather"}


@pytest.mark.parametrize(
    "name",
    ["get_completion", "list_completion_messages", "update_completion", "delete_completion"],
)
def test_get_completion_and_all_about_one_know_none_that_isnt_kept(
    invoke: Invoke, name: str
) -> None:
    reply = invoke(f"openai/{name}")
    assert reply.status == 404
    assert reply.json["error"]["code"] == "not_found"


def test_list_completions_pages_in_both_directions(invoke: Invoke, stored: str) -> None:
    newer = [
        invoke("openai/create_completion", stream=False, store=True).json["id"] for _ in range(2)
    ]
    everything = [stored, *newer]
    for order, ids in [("asc", everything), ("desc", everything[::-1])]:
        page = invoke("openai/list_completions", query={"order": order, "limit": "2"}).json
        assert [each["id"] for each in page["data"]] == ids[:2]
        assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
        rest = invoke("openai/list_completions", query={"order": order, "after": ids[1]}).json
        assert [each["id"] for each in rest["data"]] == ids[2:]
        assert rest["has_more"] is False


def test_list_completions_narrows_by_metadata_and_model(invoke: Invoke, stored: str) -> None:
    for query, found in [
        ({"metadata[topic]": "weather"}, [stored]),
        ({"metadata[topic]": "weather", "metadata[a]": "b"}, []),
        ({"metadata[topic]": "sport"}, []),
        ({"model": "wesen-chat-v1"}, [stored]),
        ({"model": "smollm2-135m"}, []),
        ({"limit": "0", "after": "nothing"}, []),
    ]:
        page = invoke("openai/list_completions", query=query).json
        assert [each["id"] for each in page["data"]] == found, query


def test_list_completion_messages_shows_the_prompt(invoke: Invoke, stored: str) -> None:
    page = invoke("openai/list_completion_messages", query=None).json
    assert [(each["role"], each["content"]) for each in page["data"]] == [
        ("system", "Be brief."),
        ("user", "How is the weather in Gondar?"),
    ]
    assert page["first_id"] == f"{stored}-0"
    rest = invoke("openai/list_completion_messages", query={"after": page["first_id"]}).json
    assert rest["data"] == page["data"][1:]
    last = invoke("openai/list_completion_messages", query={"order": "desc", "limit": "1"}).json
    assert last["data"] == page["data"][1:]
    assert last["has_more"] is True
    assert invoke("openai/list_completion_messages", query={"after": "nothing"}).status == 404


def test_update_completion_gives_it_other_metadata(invoke: Invoke, stored: str) -> None:
    reply = invoke("openai/update_completion")
    assert reply.status == 200
    assert reply.json["metadata"] == {"topic": "weather", "reviewed": "yes"}
    assert invoke("openai/get_completion").json == reply.json
    assert invoke("openai/update_completion", metadata=None).json["metadata"] == {}
    assert invoke("openai/update_completion", metadata={"a": 1}).status == 400


def test_delete_completion_removes_it(invoke: Invoke, stored: str) -> None:
    reply = invoke("openai/delete_completion")
    assert reply.json == {"id": stored, "object": "chat.completion.deleted", "deleted": True}
    assert invoke("openai/get_completion").status == 404
    assert invoke("openai/list_completions", query=None).json["data"] == []
