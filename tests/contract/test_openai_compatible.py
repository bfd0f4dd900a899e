"""What is the OpenAI-compatible back end's own: how a server's wire becomes events and errors."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest

from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.domain import addresses
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
    StoreUnavailable,
)
from parley.domain.routes import TimeLimits
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import (
    Accepted,
    Completed,
    CompletionRequest,
    Image,
    ModelEvent,
    PromptMessage,
    ReasoningDelta,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
)
from parley.telemetry import spans
from parley.telemetry.spans import Span
from parley.telemetry.traces import TraceContext, read
from tests.support.models import Answer, ask, prompt, until_failure
from tests.support.openai_server import DONE, chunk, event, usage
from tests.support.upstream import SSE, Exchange, Respond, Upstream, play, upstream

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
HELLO = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}))
END = (chunk({}, "stop"), usage(3, 1), DONE)


playing = partial(play, headers=SSE)


def failing(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Respond:
    """Answers with an error; a body that isn't bytes is JSON."""

    async def respond(exchange: Exchange) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        await exchange.answer(status, sent, headers)

    return respond


async def key() -> str:
    return KEY


@asynccontextmanager
async def served(
    respond: Respond, path: str = "/v1", **settings: Any
) -> AsyncIterator[tuple[OpenAICompatibleModel, Upstream]]:
    async with upstream(respond) as server:
        model = OpenAICompatibleModel(server.url + path, context_window=4096, **settings)
        yield model, server
        await model.aclose()


async def answer(*pieces: bytes, headers: Mapping[str, str] = SSE, cut: bool = False) -> Answer:
    """What the model makes of a stream."""
    async with served(playing(*pieces, headers=headers, cut=cut)) as (model, _):
        return await ask(model, "Say hello.")


async def failure_of(respond: Respond, **settings: Any) -> tuple[Sequence[ModelEvent], ParleyError]:
    """What the model yields, and what it raises then."""
    async with served(respond, **settings) as (model, _):
        return await until_failure(model)


# What is sent --------------------------------------------------------------------------------


async def sent(request: CompletionRequest, **settings: Any) -> Any:
    """The body that reaches the server."""
    async with served(playing(*HELLO, *END), **settings) as (model, server):
        async with aclosing(model.complete(request)) as events:
            assert [one async for one in events]
        return server.requests[0].json


async def test_a_plain_request_says_no_more_than_it_must() -> None:
    assert await sent(prompt((Role.DEVELOPER, "Be brief."), "Hello.")) == {
        "model": "any",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello."},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_everything_a_request_can_say_reaches_the_server() -> None:
    request = replace(
        prompt(
            "Hello.",
            temperature=0.0,
            top_p=0.5,
            max_tokens=7,
            seed=0,
            stop=("a", "b"),
            frequency_penalty=0.0,
            presence_penalty=-1.0,
        ),
        messages=(
            PromptMessage(
                Role.USER,
                "What is it?",
                (
                    "What is it?",
                    Image("https://host/a.png", "low"),
                    Image("data:image/png;base64,"),
                ),
            ),
            PromptMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "look", "{}"),)),
            PromptMessage(Role.TOOL, "A cat.", tool_call_id="c1"),
        ),
        tools=(
            Tool(name="look", description="Looks.", parameters={"type": "object"}, strict=True),
        ),
        tool_choice=ToolChoice(ToolMode.REQUIRED, "look"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(name="cat", schema={"type": "object"}, strict=True),
        top_logprobs=2,
        reasoning_effort="low",
    )

    body = await sent(request)

    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "content": "A cat.", "tool_call_id": "c1"},
    ]
    assert {name: value for name, value in body.items() if name != "messages"} == {
        "model": "any",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "top_p": 0.5,
        "max_tokens": 7,
        "seed": 0,
        "stop": ["a", "b"],
        "frequency_penalty": 0.0,
        "presence_penalty": -1.0,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": "Looks.",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "cat", "schema": {"type": "object"}, "strict": True},
        },
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
    }


async def test_the_shorter_forms_reach_the_server_too() -> None:
    request = replace(
        prompt("Hello.", max_tokens=2**70, seed=2**70),
        tools=(Tool(name="look"),),
        tool_choice=ToolChoice(ToolMode.NONE),
        response_format=ResponseFormat(),
        top_logprobs=0,
    )

    body = await sent(request, max_tokens_field="max_completion_tokens")

    assert body["tools"] == [{"type": "function", "function": {"name": "look"}}]
    assert body["tool_choice"] == "none"
    assert body["response_format"] == {"type": "json_object"}
    assert body["logprobs"] is True
    assert "top_logprobs" not in body
    assert body["max_completion_tokens"] == 4096
    assert "max_tokens" not in body
    assert body["seed"] < 2**63


async def test_key_and_headers_go_to_the_endpoint_below_the_base_url() -> None:
    async with served(
        playing(*HELLO, *END), "/deep/v1/?version=2", key=key, headers={"X-Title": "Parley"}
    ) as (model, server):
        await ask(model, "Hello.")

        [request] = server.requests
        assert (request.method, request.target) == ("POST", "/deep/v1/chat/completions?version=2")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-title"] == "Parley"


async def test_a_request_says_which_trace_it_belongs_to_where_there_is_one() -> None:
    async with served(playing(*HELLO, *END)) as (model, server):
        caller = TraceContext.begin()
        with spans.entered(Span("chat", kind="internal", parent=replace(caller, state="a=1"))):
            await ask(model, "Hello.")
        await ask(model, "Hello.")

        told, untold = (request.headers for request in server.requests)
        sent = read({name: told[name] for name in ("traceparent", "tracestate")})
        assert sent is not None
        assert (sent.trace_id, sent.state) == (caller.trace_id, "a=1")
        assert sent.span_id != caller.span_id
        assert "traceparent" not in untold


async def test_a_kept_connection_that_the_server_closes_costs_no_error() -> None:
    async with served(playing(*HELLO, *END)) as (model, server):
        await ask(model, "Hello.")

        async def close_once(exchange: Exchange) -> None:
            server.respond = playing(*HELLO, *END)

        server.respond = close_once
        again = await ask(model, "Hello.")

        assert again.text == "Hello"
        assert server.connections == 2


async def test_each_event_loop_has_its_own_connections() -> None:
    async with served(playing(*HELLO, *END)) as (model, server):

        async def elsewhere() -> str:
            text = (await ask(model, "Hello.")).text
            await model.aclose()
            return text

        await ask(model, "Hello.")
        texts = [await asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(2)]

        assert texts == ["Hello", "Hello"]
        assert server.connections == 3


@pytest.mark.filterwarnings(
    "ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the loop that ended took no care of its connections
async def test_connections_of_an_event_loop_that_ended_are_forgotten() -> None:
    async with served(playing(*HELLO, *END)) as (model, _):
        for _ in range(3):
            await asyncio.to_thread(asyncio.run, ask(model, "Hello."))
        await ask(model, "Hello.")
        gc.collect()

        assert len(model._clients) == 1


async def test_what_is_not_unicode_is_refused_wherever_it_stands() -> None:
    request = replace(prompt("Hello."), tools=(Tool(name="look", description="\ud800"),))
    async with served(playing()) as (model, server):
        with pytest.raises(InvalidRequest):
            await anext(model.complete(request))

        assert not server.requests


@pytest.mark.parametrize(
    ("ability", "asked"),
    [
        ("tools", {"tools": (Tool(name="look"),)}),
        ("response_format", {"response_format": ResponseFormat()}),
        ("logprobs", {"top_logprobs": 0}),
        ("reasoning_effort", {"reasoning_effort": "low"}),
    ],
)
async def test_what_the_server_lacks_is_refused_by_name_before_it_is_asked(
    ability: str, asked: dict[str, Any]
) -> None:
    async with served(playing(), lacking=[ability]) as (model, server):
        with pytest.raises(InvalidRequest) as refused:
            model.check(replace(prompt("Hello."), **asked))

        assert refused.value.param == ability
        assert not server.requests


async def test_pictures_are_refused_where_the_server_cannot_see() -> None:
    shown = PromptMessage(Role.USER, "", (Image("https://host/a.png"),))
    model = OpenAICompatibleModel("http://host", context_window=1, lacking=["images"])

    with pytest.raises(InvalidRequest) as refused:
        model.check(replace(prompt(), messages=(shown,)))
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("base_url", "settings"),
    [
        ("ftp://host/v1", {}),
        ("host/v1", {}),
        ("http://", {}),
        ("http://host:port", {}),
        ("http://host", {"lacking": ["wings"]}),
        ("http://host", {"headers": {"X-A": "1\r\nX-B: 2"}}),
        ("http://host", {"headers": {"X A": "1"}}),
    ],
)
def test_settings_that_make_no_sense_are_refused(base_url: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        OpenAICompatibleModel(base_url, context_window=1, **settings)


# What is read --------------------------------------------------------------------------------


async def test_a_reply_is_read_with_its_usage() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }

    read = await answer(*HELLO, chunk({"content": "!"}, "length"), usage(3, 5, **details), DONE)

    assert read.events == (
        Accepted(),
        TextDelta("Hello"),
        TextDelta("!"),
        Completed(FinishReason.LENGTH, Usage(3, 5, 2, 4)),
    )


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_cuts_comments_and_line_ends_change_nothing(size: int, line_end: bytes) -> None:
    stream = b"".join([b": ping\n\n", *HELLO, chunk({"content": "ሰላም 😀"}), *END])
    stream = stream.replace(b"\n", line_end)

    read = await answer(*(stream[at : at + size] for at in range(0, len(stream), size)))

    assert read.deltas == ["Hello", "ሰላም 😀"]


async def test_a_character_that_is_cut_in_two_arrives_whole() -> None:
    pieces = [b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % half for half in HALVES]

    read = await answer(*pieces, *END)

    assert read.deltas == ["a", "😀b", "\N{REPLACEMENT CHARACTER}c"]


HALVES = [rb"a\ud83d", rb"\ude00b", rb"\ude00c"]


async def test_an_empty_reply_is_a_reply() -> None:
    assert (await answer(HELLO[0], *END)).events == (
        Accepted(),
        Completed(FinishReason.STOP, Usage(3, 1)),
    )


async def test_usage_that_is_not_told_is_not_guessed() -> None:
    for counted in (b"", event({"choices": [], "usage": {"prompt_tokens": "3"}})):
        read = await answer(*HELLO, chunk({}, "stop"), *filter(None, [counted]), DONE)
        assert read.events[-1] == Completed(FinishReason.STOP, None)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_is_kept_apart(name: str) -> None:
    read = await answer(chunk({name: "Hm. "}), chunk({name: None, "content": "Hello"}), *END)

    assert read.events[:3] == (Accepted(), ReasoningDelta("Hm. "), TextDelta("Hello"))


async def test_a_refusal_is_told_and_ends_as_filtered() -> None:
    read = await answer(chunk({"content": None, "refusal": "I can't."}), *END)

    assert read.text == "I can't."
    assert read.finish_reason is FinishReason.CONTENT_FILTER


async def test_logprobs_come_with_the_text_of_their_tokens() -> None:
    half = {"token": "\\xf0", "logprob": -1.0}
    rest = {"token": "\\x9f", "logprob": -2.0}

    read = await answer(
        chunk({"content": ""}, logprobs={"content": [half]}),
        chunk({"content": "😀"}, logprobs={"content": [rest]}),
        chunk({"content": "!"}, logprobs=None),
        *END,
    )

    assert read.events[1:3] == (TextDelta("😀", (half, rest)), TextDelta("!"))


def call(index: int | None, arguments: Any, name: str | None = None, **more: Any) -> bytes:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    piece = {"function": function} | ({} if index is None else {"index": index}) | more
    return chunk({"tool_calls": [piece]})


async def test_calls_are_read_piece_by_piece() -> None:
    read = await answer(
        call(0, "", "look", id="c1", type="function"),
        call(0, '{"a":'),
        call(1, "{}", "listen", id="c2"),
        call(0, "1}", id="c1"),
        chunk({}, "tool_calls"),
        usage(1, 1),
        DONE,
    )

    assert read.events == (
        Accepted(),
        ToolCallDelta(0, "", "c1", "look"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(1, "{}", "c2", "listen"),
        ToolCallDelta(0, "1}"),
        Completed(FinishReason.TOOL_CALLS, Usage(1, 1)),
    )


async def test_calls_that_share_a_number_are_told_apart_by_their_ids() -> None:
    read = await answer(
        call(0, "{}", "look", id="c1"), call(0, {"ኣ": 1}, "look", id="c2"), chunk({}, "stop"), DONE
    )

    assert read.events[1:3] == (
        ToolCallDelta(0, "{}", "c1", "look"),
        ToolCallDelta(1, '{"ኣ": 1}', "c2", "look"),
    )


async def test_calls_without_ids_and_numbers_get_some() -> None:
    both = {"tool_calls": [{"function": {"name": "look"}}, {"function": {"name": "listen"}}]}

    read = await answer(chunk(both), chunk({}, "tool_calls"), DONE)

    calls = [one for one in read.events if isinstance(one, ToolCallDelta)]
    assert [(one.index, one.name) for one in calls] == [(0, "look"), (1, "listen")]
    assert len({one.id for one in calls if one.id}) == 2


async def test_a_whole_answer_in_place_of_a_stream_is_read() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning": "Hm.", "tool_calls": None}
    whole = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }

    read = await answer(json.dumps(whole).encode(), headers={"content-type": "application/json"})

    assert read.events == (
        Accepted(),
        ReasoningDelta("Hm."),
        TextDelta("Hello"),
        Completed(FinishReason.STOP, Usage(3, 1)),
    )


@pytest.mark.parametrize("cut", [True, False])
async def test_a_stream_needs_no_more_than_a_finish_reason_to_be_whole(*, cut: bool) -> None:
    read = await answer(*HELLO, chunk({}, "stop"), cut=cut)

    assert read.events[-1] == Completed(FinishReason.STOP, None)


async def test_a_last_event_without_its_blank_line_counts_if_it_is_whole() -> None:
    assert (await answer(*HELLO, chunk({}, "stop").rstrip())).text == "Hello"
    assert (await answer(*HELLO, chunk({}, "stop"), usage(1, 1)[:-20])).text == "Hello"


async def test_nothing_is_read_behind_the_end_for_long() -> None:
    async with served(playing(*HELLO, *END, hang=True)) as (model, _):
        async with asyncio.timeout(5):
            assert (await ask(model, "Hello.")).text == "Hello"


# What fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"message": "`stop` is too long."}}, InvalidRequest),
        (422, {"detail": [{"loc": ["body", "stop"], "msg": "Too long."}]}, InvalidRequest),
        (413, "Too large.", InvalidRequest),
        (400, {"error": {"code": "context_length_exceeded"}}, ContextTooLong),
        (400, {"message": "This model's maximum context length is 8 tokens."}, ContextTooLong),
        (401, {"error": {"message": f"Wrong key: {KEY}"}}, ModelError),
        (403, {"detail": "Forbidden"}, ModelError),
        (404, b"<html>Not found</html>", ModelError),
        (400, {"error": {"message": "No such model.", "param": "model"}}, ModelError),
        (400, {"error": {"message": "Unknown.", "param": "stream_options"}}, ModelError),
        (404, {"error": {"message": "No such model.", "code": "model_not_found"}}, ModelError),
        (301, b"", ModelError),
        (408, {"error": "timeout"}, ModelUnavailable),
        (429, {"error": {"message": "Slow down."}}, ModelThrottled),
        (500, b"", ModelUnavailable),
        (502, b"<html>Bad gateway</html>", ModelUnavailable),
        (503, "overloaded", ModelUnavailable),
        (529, [{"error": {"message": "overloaded"}}], ModelUnavailable),
    ],
)
async def test_a_refusal_has_the_type_of_its_status(
    status: int, body: Any, error: type[ParleyError]
) -> None:
    seen, failure = await failure_of(failing(status, body), key=key)

    assert seen == []
    assert type(failure) is error
    assert KEY not in failure.message
    assert "<html>" not in failure.message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "`stop` is bad.", "param": "stop", "type": "invalid_request_error"}},
        {"object": "error", "message": "`stop` is bad.", "param": "stop", "code": 400},
        {"detail": [{"loc": ["body", "stop"], "msg": "`stop` is bad."}]},
        [{"error": {"message": "`stop` is bad.", "param": "stop"}}],
    ],
)
async def test_a_sentence_about_the_request_is_passed_on(body: Any) -> None:
    _, failure = await failure_of(failing(400, body))

    assert failure.message == "The model refuses the request: `stop` is bad."
    assert failure.param == "stop"


@pytest.mark.parametrize(
    "sentence",
    [
        f"The key {KEY} may not do this.",
        "Team blue-42 may not do this.",
        "See https://internal.example/admin.",
        "10.0.0.7 said no.",
        "<b>no</b>",
        "no\nTraceback (most recent call last):",
        "no " * 200,
        "",
    ],
)
@pytest.mark.parametrize("shape", ["error", "detail"])
async def test_a_sentence_that_tells_of_the_server_is_not_passed_on(
    sentence: str, shape: str
) -> None:
    _, failure = await failure_of(
        failing(400, {shape: sentence}), key=key, headers={"X-Team": "Code blue-42"}
    )

    assert failure.message == "The model refuses the request."


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Fri, 01 Jan 1999 00:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 01 Jan 1999 00:00:00 -0000"}, None),
        ({}, None),
    ],
)
async def test_a_throttled_request_knows_when_to_come_back(
    headers: dict[str, str], seconds: float | None
) -> None:
    _, failure = await failure_of(failing(429, {}, {"content-length-hint": "0", **headers}))

    assert isinstance(failure, ModelThrottled)
    assert failure.retry_after == seconds


async def test_the_key_goes_to_no_other_host() -> None:
    async with upstream(playing(*HELLO, *END)) as other:
        _, failure = await failure_of(
            failing(307, b"", {"location": f"{other.url}/v1/chat/completions"}), key=key
        )

        assert type(failure) is ModelError
        assert not other.requests


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "no", "code": 429}, ModelThrottled),
        ({"message": "no", "type": "rate_limit_error"}, ModelThrottled),
        ({"message": "no", "code": "502"}, ModelUnavailable),
        ({"message": "no", "type": "server_error"}, ModelUnavailable),
        ({"message": "no", "type": "invalid_request_error"}, InvalidRequest),
        ("maximum context length is 8 tokens", ContextTooLong),
        ("out of memory", ModelError),
        ({"message": "no", "code": 401}, ModelError),
        (["odd"], ModelError),
    ],
)
async def test_an_error_inside_a_successful_answer_is_an_error(
    error: Any, expected: type[ParleyError]
) -> None:
    for respond in (
        playing(HELLO[0], event({"error": error}), DONE),
        playing(b"event: error\n" + event({"error": error})),
        playing(json.dumps({"error": error}).encode(), headers={"content-type": "text/json"}),
    ):
        seen, failure = await failure_of(respond)

        assert seen == []
        assert type(failure) is expected


async def test_an_error_event_is_one_whatever_it_carries() -> None:
    for error in (
        b'event: error\ndata: {"message": "overloaded", "type": "overloaded_error"}\n\n',
        event({"object": "error", "message": "no", "code": 503}),
    ):
        _, failure = await failure_of(playing(HELLO[0], error, DONE))
        assert type(failure) is ModelUnavailable


async def test_an_error_after_the_first_token_is_never_the_callers() -> None:
    error = event({"error": {"message": "no", "code": 400}})

    seen, failure = await failure_of(playing(*HELLO, error, DONE))

    assert seen == [Accepted(), TextDelta("Hello")]
    assert type(failure) is ModelError


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ((), SSE),
        ((), {"content-type": "application/json"}),
        ((), {"x-nothing": "1"}),
        ((b"<html>Welcome</html>",), {"content-type": "text/html"}),
        ((b"data: {'not': JSON}\n\n",), SSE),
        ((b"data: \xff\n\n",), SSE),
        ((b"data: 1\n\n",), SSE),
        ((b"data: " + b"[" * 100_000 + b"\n\n",), SSE),
        ((event({"choices": [1]}),), SSE),
        ((event({"choices": 1}),), SSE),
        ((chunk({"content": ["text"]}),), SSE),
        ((event({"choices": [{"delta": 1}]}),), SSE),
        ((call(0, "{}"),), SSE),
        ((chunk({"tool_calls": {"a": 1}}),), SSE),
        ((chunk({"tool_calls": [1]}),), SSE),
        ((chunk({}, "error"), DONE), SSE),
        ((DONE,), SSE),
        ((b'{"object": "list", "data": []}',), {"content-type": "application/json"}),
    ],
)
async def test_an_answer_that_is_no_completion_is_an_error_and_not_an_end(
    pieces: tuple[bytes, ...], headers: dict[str, str]
) -> None:
    seen, failure = await failure_of(playing(*pieces, headers=headers))

    assert seen == []
    assert type(failure) is ModelError


@pytest.mark.parametrize(
    ("tail", "cut", "error"),
    [
        ((), False, ModelError),
        ((DONE,), False, ModelError),
        ((usage(1, 1), DONE), False, ModelError),
        ((chunk({}, "stop")[:-20],), False, ModelError),
        ((), True, ModelUnavailable),
    ],
)
async def test_a_reply_that_breaks_off_is_never_a_whole_one(
    *, tail: tuple[bytes, ...], cut: bool, error: type[ParleyError]
) -> None:
    seen, failure = await failure_of(playing(*HELLO, *tail, cut=cut))

    assert seen == [Accepted(), TextDelta("Hello")]
    assert type(failure) is error


async def test_a_key_that_can_not_be_read_or_sent_is_never_shown() -> None:
    async def unreadable() -> str:
        raise StoreUnavailable("No secrets today.")

    async def unsendable() -> str:
        return f"{KEY}\r\nX-Other: 1"

    _, failure = await failure_of(playing(), key=unreadable)
    assert type(failure) is ModelUnavailable
    _, failure = await failure_of(playing(), key=unsendable)
    assert type(failure) is ModelError
    assert KEY not in repr(failure)
    assert failure.__context__ is None


async def test_a_key_may_have_white_space_around_it() -> None:
    async def with_line_end() -> str:
        return f"{KEY}\n"

    async with served(playing(*HELLO, *END), key=with_line_end) as (model, server):
        await ask(model, "Hello.")
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


# How long it takes ---------------------------------------------------------------------------

SHORT = 0.05
LONG = 30.0


@pytest.mark.parametrize(
    "pieces",
    [(), (b": comment\n\n",), (HELLO[0],)],
    ids=["nothing", "a comment", "an empty chunk"],
)
async def test_only_a_token_ends_the_wait_for_the_first(pieces: tuple[bytes, ...]) -> None:
    limits = TimeLimits(first_token=SHORT, between_tokens=LONG)

    seen, failure = await failure_of(playing(*pieces, hang=True), limits=limits)

    assert seen == []
    assert type(failure) is ModelUnavailable


async def test_comments_do_not_prolong_the_wait() -> None:
    async def comment(exchange: Exchange) -> None:
        await exchange.begin(SSE)
        while not exchange.left.is_set():
            await exchange.send(b": still here\n\n")
            await asyncio.sleep(SHORT / 10)

    _, failure = await failure_of(comment, limits=TimeLimits(first_token=SHORT))

    assert type(failure) is ModelUnavailable


async def test_a_server_whose_name_leads_to_a_metadata_address_is_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "_METADATA", (ip_network("127.0.0.0/8"),))

    async with served(playing(*HELLO, *END)) as (model, server):
        with pytest.raises(ModelError, match="the operator has to look"):
            await ask(model, "Hello.")
        await asyncio.sleep(SHORT)

    assert not server.requests
