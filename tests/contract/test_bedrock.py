"""What is Bedrock's own: how a conversation becomes Converse's, and its stream events and errors.

Everything runs through boto3 against a server that speaks Bedrock's wire.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from parley.adapters.models.bedrock import BedrockModel, connect_to_bedrock
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)
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
from tests.support.bedrock_server import (
    SESSION,
    STREAM,
    delta,
    event,
    exception,
    frame,
    metadata,
    refuse,
    start,
    stop,
    what_is_wrong,
)
from tests.support.models import Answer, ask, prompt, until_failure
from tests.support.upstream import Exchange, Respond, Upstream, play, upstream

pytestmark = pytest.mark.anyio

BEGIN = event("messageStart", role="assistant")
HELLO = (BEGIN, delta(text="Hello"))
END = (stop(), event("messageStop", stopReason="end_turn"), metadata(3, 1))

PNG = base64.b64encode(b"\x89PNG").decode()
LOOK = Tool(name="look", description="Looks.", parameters={"type": "object"}, strict=True)


playing = partial(play, headers=STREAM)


def refusing(status: int, code: str, message: str = "No.", **headers: str) -> Respond:
    async def respond(exchange: Exchange) -> None:
        await refuse(exchange, status, code, message, **headers)

    return respond


@asynccontextmanager
async def served(respond: Respond, **settings: Any) -> AsyncIterator[tuple[BedrockModel, Upstream]]:
    async with upstream(respond) as server:
        client = connect_to_bedrock(
            session=SESSION, endpoint_url=server.url, limits=settings.get("limits")
        )
        yield BedrockModel(context_window=4096, connect=lambda: client, **settings), server


async def answer(*pieces: bytes) -> Answer:
    """What the model makes of a stream."""
    async with served(playing(*pieces)) as (model, _):
        return await ask(model, "Say hello.")


async def failure_of(respond: Respond, **settings: Any) -> tuple[Sequence[ModelEvent], ParleyError]:
    """What the model yields, and what it raises then."""
    async with served(respond, **settings) as (model, _):
        return await until_failure(model)


# What is sent --------------------------------------------------------------------------------


async def sent(request: CompletionRequest) -> Any:
    """The body that reaches Bedrock, which would take it."""
    async with served(playing(*HELLO, *END)) as (model, server):
        async with aclosing(model.complete(request)) as events:
            assert [one async for one in events]
        body = server.requests[0].json
    assert what_is_wrong(body) is None
    return body


async def messages(*said: PromptMessage, **more: Any) -> Any:
    """What becomes of a conversation: roles and blocks."""
    body = await sent(replace(prompt(), messages=said, **more))
    return [(message["role"], *message["content"]) for message in body["messages"]]


def text(said: str) -> dict[str, str]:
    return {"text": said}


def user(said: str, *parts: str | Image) -> PromptMessage:
    return PromptMessage(Role.USER, said, parts)


def assistant(said: str, *calls: ToolCall) -> PromptMessage:
    return PromptMessage(Role.ASSISTANT, said, tool_calls=calls)


def tool(said: str, call_id: str | None) -> PromptMessage:
    return PromptMessage(Role.TOOL, said, tool_call_id=call_id)


async def test_a_plain_request_says_no_more_than_it_must() -> None:
    assert await sent(prompt("Hello.")) == {
        "messages": [{"role": "user", "content": [text("Hello.")]}]
    }


async def test_the_model_is_named_in_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0"
    async with served(playing(*HELLO, *END)) as (model, server):
        async with aclosing(model.complete(replace(prompt("Hello."), model=arn))) as events:
            assert [one async for one in events]

        [request] = server.requests
        assert (
            request.target
            == f"/model/{arn.replace(':', '%3A').replace('/', '%2F')}/converse-stream"
        )
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256")


async def test_everything_a_request_can_say_reaches_bedrock() -> None:
    request = replace(
        prompt("Hello.", temperature=0.0, top_p=0.5, max_tokens=7, stop=("a", "b")),
        tools=(LOOK, Tool(name="listen")),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
        parallel_tool_calls=True,
        response_format=ResponseFormat(name="cat", schema={"type": "object"}, strict=True),
        reasoning_effort="low",
    )

    body = await sent(request)

    assert {name: value for name, value in body.items() if name != "messages"} == {
        "inferenceConfig": {
            "temperature": 0.0,
            "topP": 0.5,
            "maxTokens": 7,
            "stopSequences": ["a", "b"],
        },
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "look",
                        "description": "Looks.",
                        "inputSchema": {"json": {"type": "object"}},
                        "strict": True,
                    }
                },
                {"toolSpec": {"name": "listen", "inputSchema": {"json": {"type": "object"}}}},
            ],
            "toolChoice": {"any": {}},
        },
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "cat", "schema": '{"type": "object"}'}},
            },
            "effort": "low",
        },
    }


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, None),
        (ToolChoice(), None),
        (ToolChoice(ToolMode.REQUIRED, "look"), {"tool": {"name": "look"}}),
    ],
)
async def test_one_tool_may_be_called_for(choice: ToolChoice | None, told: Any) -> None:
    body = await sent(replace(prompt("Hello."), tools=(LOOK,), tool_choice=choice))

    assert body["toolConfig"].get("toolChoice") == told


async def test_what_the_system_says_stands_apart() -> None:
    body = await sent(
        prompt(
            (Role.SYSTEM, "Be brief."), "Hello.", (Role.DEVELOPER, "Be kind."), (Role.SYSTEM, " ")
        )
    )

    assert body["system"] == [text("Be brief."), text("Be kind.")]
    assert body["messages"] == [{"role": "user", "content": [text("Hello.")]}]


async def test_user_and_assistant_take_turns() -> None:
    assert await messages(user("1"), user("2"), assistant("3"), assistant("4"), user("5")) == [
        ("user", text("1"), text("2")),
        ("assistant", text("3"), text("4")),
        ("user", text("5")),
    ]


async def test_an_assistant_that_said_nothing_is_left_out() -> None:
    assert await messages(user("1"), assistant(""), user("2"), assistant(" \n"), user("3")) == [
        ("user", text("1"), text("2"), text("3"))
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ((), [("user", text("."))]),
        ((user(" "),), [("user", text("."))]),
        (
            (assistant("1"), user("2")),
            [("user", text(".")), ("assistant", text("1")), ("user", text("2"))],
        ),
        (
            (user("1"), assistant("2")),
            [("user", text("1")), ("assistant", text("2")), ("user", text("."))],
        ),
    ],
)
async def test_a_user_begins_and_ends_even_one_who_said_nothing(
    said: tuple[PromptMessage, ...], shown: Any
) -> None:
    assert await messages(*said) == shown


async def test_pictures_are_sent_in_their_place() -> None:
    shown = user(
        "What is it?",
        "What is it?",
        Image(f"data:image/jpg;base64,{PNG}"),
        " ",
        Image(f"data:image/PNG;base64,{PNG}"),
    )

    assert await messages(shown) == [
        (
            "user",
            text("What is it?"),
            {"image": {"format": "jpeg", "source": {"bytes": PNG}}},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
        )
    ]


CALLED = (
    user("Look."),
    assistant("Well.", ToolCall("c1", "look", '{"a": 1}'), ToolCall("c2", "look", "")),
    tool("A cat.", "c1"),
    tool(" ", "c2"),
)


async def test_calls_and_their_results_are_shown_as_such() -> None:
    assert await messages(*CALLED, user("And?"), tools=(LOOK,)) == [
        ("user", text("Look.")),
        (
            "assistant",
            text("Well."),
            {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"a": 1}}},
            {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
        ),
        (
            "user",
            {"toolResult": {"toolUseId": "c1", "content": [text("A cat.")]}},
            {"toolResult": {"toolUseId": "c2", "content": [text(".")]}},
            text("And?"),
        ),
    ]


@pytest.mark.parametrize("more", [{}, {"tools": (LOOK,), "tool_choice": ToolChoice(ToolMode.NONE)}])
async def test_calls_are_told_in_words_where_no_more_may_follow(more: dict[str, Any]) -> None:
    assert await messages(*CALLED, **more) == [
        ("user", text("Look.")),
        ("assistant", text("Well."), text('look({"a": 1})'), text("look()")),
        ("user", text("look returned: A cat."), text("look returned:  ")),
    ]


async def test_results_of_no_call_are_told_in_words() -> None:
    assert await messages(user("1"), tool("2", None), tool("3", "c9"), tools=(LOOK,)) == [
        ("user", text("1"), text("2"), text("3"))
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    [('{"a":', {"arguments": '{"a":'}), ("[1]", {"arguments": [1]}), ("null", {})],
)
async def test_arguments_that_are_no_object_are_put_into_one(written: str, told: Any) -> None:
    shown = await messages(
        user("1"), assistant("", ToolCall("c1", "look", written)), tool("2", "c1"), tools=(LOOK,)
    )

    assert shown[1][1]["toolUse"]["input"] == told


async def test_ids_that_bedrock_does_not_take_stay_the_same_in_call_and_result() -> None:
    shown = await messages(
        user("1"), assistant("", ToolCall("a/b", "look", "")), tool("2", "a/b"), tools=(LOOK,)
    )

    assert shown[1][1]["toolUse"]["toolUseId"] == shown[2][1]["toolResult"]["toolUseId"] != "a/b"


@pytest.mark.parametrize(
    ("param", "asked"),
    [
        ("temperature", prompt("Hello.", temperature=1.1)),
        ("seed", prompt("Hello.", seed=0)),
        ("frequency_penalty", prompt("Hello.", frequency_penalty=1.0)),
        ("presence_penalty", prompt("Hello.", presence_penalty=1.0)),
        ("logprobs", replace(prompt("Hello."), top_logprobs=0)),
        ("parallel_tool_calls", replace(prompt("Hello."), parallel_tool_calls=False)),
        ("response_format", replace(prompt("Hello."), response_format=ResponseFormat())),
        ("reasoning_effort", replace(prompt("Hello."), reasoning_effort="minimal")),
        ("tools", replace(prompt("Hello."), tools=(Tool(name="look around"),))),
    ],
)
async def test_what_converse_can_not_do_is_refused_by_name_before_it_is_asked(
    param: str, asked: CompletionRequest
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        BedrockModel(context_window=1, connect=pytest.fail).check(asked)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://host/a.png", "not fetched"),
        ("data:image/png,raw", "base64"),
        ("data:image/tiff;base64,AAAA", "PNG"),
        ("data:image/png;base64,A", "not base64"),
        ("data:image/png;base64,ሰላም", "not base64"),
        ("data:image/png;base64,", "empty"),
    ],
)
async def test_a_picture_that_can_not_be_sent_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        BedrockModel(context_window=1).check(replace(prompt(), messages=(user("", Image(url)),)))
    assert refused.value.param == "messages"


async def test_only_a_user_shows_pictures() -> None:
    shown = PromptMessage(Role.TOOL, "", (Image(f"data:image/png;base64,{PNG}"),), (), "c1")

    with pytest.raises(InvalidRequest, match="Only a user"):
        BedrockModel(context_window=1).check(replace(prompt(), messages=(shown,)))


# What is read --------------------------------------------------------------------------------


async def test_a_reply_is_read_with_its_usage() -> None:
    read = await answer(
        *HELLO,
        delta(text="! ሰላም 😀"),
        stop(),
        event("messageStop", stopReason="max_tokens"),
        metadata(3, 5, cacheReadInputTokens=2, cacheWriteInputTokens=4),
    )

    assert read.events == (
        Accepted(),
        TextDelta("Hello"),
        TextDelta("! ሰላም 😀"),
        Completed(FinishReason.LENGTH, Usage(9, 5, 2)),
    )


async def test_frames_may_be_cut_anywhere() -> None:
    stream = b"".join([*HELLO, *END])

    read = await answer(*(stream[at : at + 11] for at in range(0, len(stream), 11)))

    assert read.text == "Hello"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
    ],
)
async def test_stop_reasons_have_their_meaning(told: str, meant: FinishReason) -> None:
    read = await answer(*HELLO, event("messageStop", stopReason=told))

    assert read.events[-1] == Completed(meant, None)


async def test_reasoning_is_kept_apart_and_its_signature_is_not_told() -> None:
    read = await answer(
        BEGIN,
        delta(0, reasoningContent={"text": "Hm. "}),
        delta(0, reasoningContent={"signature": "c2lnbmVk"}),
        delta(0, reasoningContent={"redactedContent": "c2VjcmV0"}),
        stop(0),
        delta(1, text="Hello"),
        *END,
    )

    assert read.events[:3] == (Accepted(), ReasoningDelta("Hm. "), TextDelta("Hello"))
    assert len(read.events) == 4


async def test_calls_are_read_piece_by_piece() -> None:
    read = await answer(
        *HELLO,
        stop(0),
        start(1, toolUse={"toolUseId": "c1", "name": "look"}),
        delta(1, toolUse={"input": ""}),
        delta(1, toolUse={"input": '{"a":'}),
        delta(1, toolUse={"input": "1}"}),
        stop(1),
        start(2, toolUse={"toolUseId": "c2", "name": "listen"}),
        stop(2),
        event("messageStop", stopReason="tool_use"),
        metadata(1, 1),
    )

    assert read.events[2:] == (
        ToolCallDelta(0, "", "c1", "look"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(0, "1}"),
        ToolCallDelta(1, "", "c2", "listen"),
        ToolCallDelta(1, "{}"),
        Completed(FinishReason.TOOL_CALLS, Usage(1, 1)),
    )


async def test_events_that_are_not_known_change_nothing() -> None:
    read = await answer(
        *HELLO,
        event("surprise", a=1),
        delta(0, citation={"title": "A book"}),
        delta(0, novelty=1),
        *END,
    )

    assert read.events == (
        Accepted(),
        TextDelta("Hello"),
        Completed(FinishReason.STOP, Usage(3, 1)),
    )


async def test_a_model_that_can_not_stream_is_asked_for_a_whole_reply() -> None:
    whole = {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "a"}}},
                    {"text": "Hello"},
                    {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"a": "ሀ"}}},
                ],
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
        "metrics": {"latencyMs": 1},
    }

    async def respond(exchange: Exchange) -> None:
        await exchange.answer(200, json.dumps(whole).encode())

    async with served(respond, streaming=False) as (model, server):
        read = await ask(model, "Hello.")

        assert server.requests[0].target == "/model/any/converse"
    assert read.events == (
        Accepted(),
        ReasoningDelta("Hm."),
        TextDelta("Hello"),
        ToolCallDelta(0, "", "c1", "look"),
        ToolCallDelta(0, '{"a": "ሀ"}'),
        Completed(FinishReason.TOOL_CALLS, Usage(3, 1)),
    )


@pytest.mark.parametrize(
    "said", [{}, {"output": {}}, {"output": {"message": {"content": [{"toolUse": {}}]}}}]
)
async def test_a_whole_answer_that_is_no_reply_is_an_error(said: dict[str, Any]) -> None:
    async def respond(exchange: Exchange) -> None:
        await exchange.answer(200, json.dumps(said).encode())

    seen, failure = await failure_of(respond, streaming=False)

    assert seen == []
    assert type(failure) is ModelError


# What fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        (400, "ValidationException", "The stop sequence is blank.", InvalidRequest),
        (400, "ValidationException", "Input is too long for requested model.", ContextTooLong),
        (
            400,
            "ValidationException",
            "The model returned the following errors: prompt is too long: 9 tokens > 8 maximum",
            ContextTooLong,
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelError),
        (
            400,
            "ValidationException",
            "Invocation of model ID a.b with on-demand throughput isn't supported.",
            ModelError,
        ),
        (403, "AccessDeniedException", "You don't have access to the model.", ModelError),
        (403, "UnrecognizedClientException", "The security token is invalid.", ModelError),
        (403, "ExpiredTokenException", "The security token is expired.", ModelError),
        (404, "ResourceNotFoundException", "The model is not found.", ModelError),
        (408, "ModelTimeoutException", "The model took too long.", ModelUnavailable),
        (424, "ModelErrorException", "The model failed.", ModelUnavailable),
        (429, "ThrottlingException", "Too many tokens, please wait.", ModelThrottled),
        (429, "ModelNotReadyException", "The model is not ready.", ModelUnavailable),
        (429, "SomethingNewException", "Slower.", ModelThrottled),
        (400, "ServiceQuotaExceededException", "Your quota is used up.", ModelThrottled),
        (500, "InternalServerException", "Oh.", ModelUnavailable),
        (503, "ServiceUnavailableException", "Oh.", ModelUnavailable),
        (502, "", "Oh.", ModelUnavailable),
        (418, "SomethingNewException", "Oh.", ModelError),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_refusal_has_its_type(
    *, status: int, code: str, message: str, error: type[ParleyError], streaming: bool
) -> None:
    seen, failure = await failure_of(refusing(status, code, message), streaming=streaming)

    assert seen == []
    assert type(failure) is error


async def test_a_refused_request_is_not_sent_again() -> None:
    async with served(refusing(503, "ServiceUnavailableException")) as (model, server):
        with pytest.raises(ModelUnavailable):
            await ask(model, "Hello.")

        assert len(server.requests) == 1


async def test_a_throttled_request_knows_when_to_come_back() -> None:
    _, failure = await failure_of(refusing(429, "ThrottlingException", **{"retry-after": "7"}))

    assert isinstance(failure, ModelThrottled)
    assert failure.retry_after == 7


async def test_a_sentence_about_the_request_is_passed_on_unless_it_tells_of_the_account() -> None:
    code = "ValidationException"

    _, failure = await failure_of(refusing(400, code, "A stop sequence is blank."))
    assert failure.message == "The model refuses the request: A stop sequence is blank."
    for secret in ("arn:aws:bedrock:us-east-1:1:guardrail/a", "account 123456789012"):
        _, failure = await failure_of(refusing(400, code, f"Denied for {secret}."))
        assert failure.message == "The model refuses the request."


@pytest.mark.parametrize(
    ("kind", "message", "first", "later"),
    [
        ("throttlingException", "Slower.", ModelThrottled, ModelThrottled),
        ("internalServerException", "Oh.", ModelUnavailable, ModelUnavailable),
        ("serviceUnavailableException", "Oh.", ModelUnavailable, ModelUnavailable),
        ("modelStreamErrorException", "Oh.", ModelUnavailable, ModelUnavailable),
        (
            "validationException",
            "Input is too long for requested model.",
            ContextTooLong,
            ModelError,
        ),
        ("validationException", "No.", InvalidRequest, ModelError),
        ("somethingNewException", "Oh.", ModelError, ModelError),
    ],
)
async def test_an_exception_inside_the_stream_is_an_error(
    kind: str, message: str, first: type[ParleyError], later: type[ParleyError]
) -> None:
    seen, failure = await failure_of(playing(BEGIN, exception(kind, message)))
    assert seen == []
    assert type(failure) is first

    seen, failure = await failure_of(playing(*HELLO, exception(kind, message)))
    assert seen == [Accepted(), TextDelta("Hello")]
    assert type(failure) is later


BROKEN = bytearray(delta(text="Hello"))
BROKEN[-6] ^= 1


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((), ModelError),
        ((BEGIN,), ModelError),
        ((bytes(BROKEN),), ModelError),
        ((b"<html>" * 100,), ModelError),
        ((frame({":message-type": "event", ":event-type": "messageStop"}, b"{"),), ModelError),
        (
            (event("contentBlockDelta", contentBlockIndex=7, delta={"toolUse": {"input": "{"}}),),
            ModelError,
        ),
        ((event("messageStop", stopReason="malformed_tool_use"),), ModelError),
        ((event("messageStop", stopReason="something_new"),), ModelError),
    ],
)
async def test_a_stream_that_is_no_reply_is_an_error_and_not_an_end(
    pieces: tuple[bytes, ...], error: type[ParleyError]
) -> None:
    seen, failure = await failure_of(playing(*pieces))

    assert seen == []
    assert type(failure) is error


@pytest.mark.parametrize(
    ("tail", "cut", "error"),
    [
        ((), False, ModelError),
        ((stop(), metadata(1, 1)), False, ModelError),
        ((END[1][:-8],), False, ModelError),
        ((), True, ModelUnavailable),
    ],
)
async def test_a_reply_that_breaks_off_is_never_a_whole_one(
    *, tail: tuple[bytes, ...], cut: bool, error: type[ParleyError]
) -> None:
    seen, failure = await failure_of(playing(*HELLO, *tail, cut=cut))

    assert seen == [Accepted(), TextDelta("Hello")]
    assert type(failure) is error


async def test_a_cut_behind_the_end_loses_no_more_than_the_usage() -> None:
    async with served(playing(*HELLO, *END[:2], cut=True)) as (model, _):
        read = await ask(model, "Hello.")

    assert read.events[-1] == Completed(FinishReason.STOP, None)


async def test_missing_credentials_are_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    async with upstream(playing(*HELLO, *END)) as server:
        model = BedrockModel(
            context_window=1, connect=partial(connect_to_bedrock, endpoint_url=server.url)
        )
        with pytest.raises(ModelError) as failure:
            await ask(model, "Hello.")

    assert type(failure.value) is ModelError


# How long it takes ---------------------------------------------------------------------------

LONG = 30.0
PROMPTLY = 0.1
"""Seconds within which Bedrock must know that nobody listens any more."""


async def test_a_call_that_was_left_before_its_answer_ends_with_the_answer() -> None:
    answers = asyncio.Event()

    async def respond(exchange: Exchange) -> None:
        await answers.wait()
        await exchange.begin(STREAM)
        await exchange.left.wait()

    async with served(respond) as (model, server):
        asking = asyncio.create_task(ask(model, "Hello."))
        exchange = await server.exchanges.get()

        asking.cancel()
        assert (await asyncio.wait({asking}, timeout=PROMPTLY))[0]
        answers.set()
        async with asyncio.timeout(LONG):
            await exchange.left.wait()
