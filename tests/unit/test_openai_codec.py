"""Chat Completions' wire, byte by byte."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from parley.dialects.openai import codec
from parley.dialects.openai.errors import envelope
from parley.dialects.openai.headers import duration, headers
from parley.dialects.openai.schema import CompletionBody
from parley.domain.conversations import Role, Usage
from parley.domain.errors import InvalidRequest, ModelNotFound, StoreUnavailable
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import CompletionRequest, Image, PromptMessage, ResponseFormat
from parley.services.limits import Allowance
from tests.support.completions import kept


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "12ms"), (0, "0ms"), (6, "6s"), (59.6, "1m0s"), (60, "1m0s"), (61, "1m1s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_limits_are_told_once_the_caller_is_known() -> None:
    assert headers(None, 12.4) == {"openai-processing-ms": "12"}
    allowance = Allowance(100, 99, 30.0, 1_800_000_000)
    assert headers(allowance, 0)["x-ratelimit-reset-requests"] == "30s"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("No.", param="n"), 400, "invalid_request_error"),
        (ModelNotFound("No.", param="model"), 404, "not_found_error"),
        (StoreUnavailable("No."), 503, "server_error"),
    ],
)
def test_an_error_has_all_four_keys(error: InvalidRequest, status: int, kind: str) -> None:
    assert envelope(error, status) == {
        "error": {"message": "No.", "type": kind, "param": error.param, "code": error.code}
    }


PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}


def body(**fields: object) -> CompletionBody:
    messages = [{"role": "user", "content": "Hi"}]
    return CompletionBody.model_validate({"model": "m", "messages": messages, **fields})


def allowing(mode: str, *names: str) -> dict[str, object]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def shown(*messages: dict[str, object]) -> list[PromptMessage]:
    return list(codec.request(body(messages=messages)).messages)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"logprobs": False},
        {"frequency_penalty": 0},
        {"store": False},
        {"n": 1},
        {"tools": None},
        {"service_tier": "auto"},
        {"a_field_from_next_year": {"deep": [1]}},
    ],
)
def test_what_asks_for_nothing_is_accepted(fields: dict[str, object]) -> None:
    assert [message.text for message in codec.request(body(**fields)).messages] == ["Hi"]


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": [{"name": "f"}]},
        {"logit_bias": {"50256": -100}},
        {"modalities": ["text", "audio"]},
        {"verbosity": "low"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": [TOOL]},
        {"tool_choice": allowing("auto", "f", "g"), "tools": [TOOL]},
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        codec.request(body(**fields))
    assert refused.value.param in fields


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_of_allowed_tools_the_model_hears_of_no_others(mode: str) -> None:
    other = {"type": "function", "function": {"name": "g"}}
    asked = codec.request(body(tools=[TOOL, other], tool_choice=allowing(mode, "g")))
    assert [tool.name for tool in asked.tools] == ["g"]
    assert asked.tool_choice == ToolChoice(ToolMode(mode))


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert codec.parameters(body(max_tokens=5, max_completion_tokens=7)).max_tokens == 7
    assert codec.parameters(body(max_tokens=5)).max_tokens == 5


def test_one_stop_sequence_may_stand_alone() -> None:
    assert codec.parameters(body(stop="END")).stop == ("END",)
    assert codec.parameters(body(stop=["a", "b"])).stop == ("a", "b")
    assert codec.parameters(body()).stop == ()


def test_all_that_is_asked_reaches_the_model() -> None:
    asked = codec.request(
        body(
            tools=[TOOL],
            tool_choice={"type": "function", "function": {"name": "f"}},
            parallel_tool_calls=False,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
            },
            logprobs=True,
            top_logprobs=3,
            reasoning_effort="low",
            frequency_penalty=0.5,
            presence_penalty=-0.5,
        )
    )
    assert asked == CompletionRequest(
        model="m",
        messages=(PromptMessage(Role.USER, "Hi"),),
        parameters=codec.parameters(body(frequency_penalty=0.5, presence_penalty=-0.5)),
        tools=(Tool(name="f", parameters=SCHEMA, strict=True),),
        tool_choice=ToolChoice(ToolMode.REQUIRED, "f"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="place", schema=SCHEMA, strict=True),
        top_logprobs=3,
        reasoning_effort="low",
    )


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, None),
        ({"logprobs": False, "top_logprobs": 0}, None),
        ({"logprobs": True}, 0),
        ({"top_logprobs": 2}, 2),
    ],
)
def test_probabilities_are_told_where_they_are_asked_for(
    fields: dict[str, object], wanted: int | None
) -> None:
    assert codec.request(body(**fields)).top_logprobs == wanted


@pytest.mark.parametrize("mode", ["none", "auto", "required"])
def test_the_model_is_told_how_free_it_is_to_call(mode: str) -> None:
    asked = codec.request(body(tools=[TOOL], tool_choice=mode))
    assert asked.tool_choice == ToolChoice(ToolMode(mode))


def test_json_may_be_asked_for_without_a_schema() -> None:
    asked = codec.request(body(response_format={"type": "json_object"}))
    assert asked.response_format == ResponseFormat()


def test_calls_and_their_answers_are_shown_to_the_model() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert shown(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a\x1b[0m"},
    ) == [
        PromptMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "f", "{}"),)),
        PromptMessage(Role.TOOL, "a\x1b[0m", tool_call_id="c1"),
    ]


def test_pictures_keep_their_place_among_the_text() -> None:
    parts = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "text", "text": "this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    (message,) = shown({"role": "user", "content": parts})
    assert message.text == "What is this?"
    assert message.parts == (
        "What is ",
        Image(PIXEL, "low"),
        "this?",
        Image("https://example.com/a.png"),
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "file:///etc/passwd",
        "https://",
        "https://a b",
        "https://127.0.0.1/a.png",
        "https://10.0.0.7/a.png",
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "https://gpu/a.png",
        "https://images.internal/a.png",
        "https://IMAGES.INTERNAL/a.png",
        "https://printer.local:8443/a.png",
        "https://example.com@10.0.0.7/",
        "https://example.com\\@10.0.0.7/",
        "https://example.com:@10.0.0.7/",
        "https://10.0.0.7\\.example.com/",
        "ftp://example.com/a.png",
        "gopher://example.com/a.png",
        "data:text/html;base64,AAAA",
        "data:image/png,plain",
        "data:image/png;base64,AAA",
        PIXEL + "\n",
    ],
)
def test_a_picture_comes_from_https_or_with_the_message(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(ValidationError):
        body(messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize("kind", ["input_audio", "file"])
def test_parts_that_no_model_reads_are_refused_by_name(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"`{kind}` parts are not supported"):
        body(messages=[{"role": "user", "content": [{"type": kind, kind: {}}]}])


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a%20b.png?size=@2x#top",
        "https://a-b.c.example.com/[a]",
        "https://bucket.s3.eu-central-1.amazonaws.com/a.png?X-Amz-Signature=0",
    ],
)
def test_a_picture_may_be_anywhere_in_the_internet(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    body(messages=[{"role": "user", "content": [part]}])


def test_usage_is_that_of_all_choices_together() -> None:
    counted = codec.usage([Usage(3, 2, 1, 1), Usage(3, 5)])
    assert counted is not None
    assert counted.model_dump() == {
        "prompt_tokens": 6,
        "completion_tokens": 7,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert codec.usage([Usage(3, 2), None]) is None


def test_a_stored_prompt_shows_pictures_and_calls_as_they_were_sent() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = shown(
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "A bee."},
    )
    stored = replace(kept(), messages=tuple(messages))
    page = codec.stored_messages(stored, limit=10, after=None, newest_first=False).model_dump()
    question, reply, answer = page["data"]
    assert question["content_parts"] == parts
    assert (reply["content"], reply["tool_calls"]) == (None, [call])
    assert (answer["tool_call_id"], answer["content"]) == ("c", "A bee.")
