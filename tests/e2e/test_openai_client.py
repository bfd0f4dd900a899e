"""OpenAI's own Python client, unmodified, against the running local stack."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import Stack

DEMO = "sk_test_demo"
SCRIPTED = "sk_test_conformance"
"""A tenant whose every model is the scripted one: it plays the script in the last message."""

AMHARIC = "ሰላም ለዓለም። ሽሮ 🍲👩🏽‍🍳"


Connect = Callable[..., openai.OpenAI]


@pytest.fixture
def connect(stack: Stack) -> Iterator[Connect]:
    """Make clients of the stack; they are closed with the test."""
    with ExitStack() as clients:

        def connect(key: str = DEMO, **options: Any) -> openai.OpenAI:
            settings = {"base_url": f"{stack.url}/v1", "max_retries": 0, **options}
            return clients.enter_context(openai.OpenAI(api_key=key, **settings))

        yield connect


def script(*steps: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": "script:" + json.dumps(steps)}]


@pytest.mark.parametrize("name", ["any-model", "meta-llama/Llama-3.1-8B", "ገና:1b"])
def test_a_model_is_found_by_its_name_whatever_is_in_it(connect: Connect, name: str) -> None:
    assert connect(SCRIPTED).models.retrieve(name).id == name


def test_a_real_model_answers_with_its_own_token_counts(connect: Connect) -> None:
    completion = connect().chat.completions.create(
        model="wesen-chat-v1",
        messages=[{"role": "user", "content": "Say hello."}],
        max_tokens=12,
    )
    assert completion.object == "chat.completion"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason in {"stop", "length"}
    assert completion.usage is not None
    assert 0 < completion.usage.completion_tokens <= 12
    assert completion.usage.total_tokens > completion.usage.completion_tokens
    assert completion._request_id


def test_a_real_model_streams_token_by_token(connect: Connect) -> None:
    stream = connect().chat.completions.create(
        model="wesen-chat-v1",
        messages=[{"role": "user", "content": "Count to five."}],
        max_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert len([delta for delta in deltas if delta]) > 2
    *_, last_choice, usage = chunks
    assert last_choice.choices[0].finish_reason in {"stop", "length"}
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens > 2


def test_the_first_token_arrives_before_the_last_is_made(connect: Connect) -> None:
    pause = 0.6
    began = time.monotonic()
    stream = connect(SCRIPTED).chat.completions.create(
        model="any",
        messages=script({"text": "first"}, {"wait": pause}, {"text": " last"}),
        stream=True,
    )
    arrived = {
        chunk.choices[0].delta.content: time.monotonic() - began
        for chunk in stream
        if chunk.choices[0].delta.content
    }
    assert arrived[" last"] - arrived["first"] > pause * 0.8
    assert arrived[" last"] >= pause


@pytest.mark.parametrize("size", [1, 2, 3])
def test_text_of_any_script_arrives_whole(connect: Connect, size: int) -> None:
    pieces = [AMHARIC[i : i + size] for i in range(0, len(AMHARIC), size)]
    stream = connect(SCRIPTED).chat.completions.create(
        model="any", messages=script(*({"text": piece} for piece in pieces)), stream=True
    )
    deltas = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(deltas) == AMHARIC
    assert [delta for delta in deltas if delta] == pieces


def test_parameters_and_messages_reach_the_model(connect: Connect) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "One"}, {"type": "text", "text": " two"}],
        },
        {"role": "assistant", "content": None},
        *script({"echo": "request"}),
    ]
    completion = connect(SCRIPTED).chat.completions.create(
        model="any",
        messages=messages,
        temperature=0.25,
        top_p=0.5,
        seed=7,
        stop=['a"b'],
        max_completion_tokens=40,
    )
    told = json.loads(completion.choices[0].message.content or "")
    assert [message["text"] for message in told["messages"][:3]] == ["Be brief.", "One two", ""]
    assert told["parameters"] == {
        "temperature": 0.25,
        "top_p": 0.5,
        "seed": 7,
        "stop": ['a"b'],
        "max_tokens": 40,
    }


def test_stop_and_length_end_a_reply_as_they_say(connect: Connect) -> None:
    create = connect(SCRIPTED).chat.completions.create
    steps = script({"text": "one "}, {"text": "two "}, {"text": "three"})
    stopped = create(model="any", messages=steps, stop="two").choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("one ", "stop")
    cut = create(model="any", messages=steps, max_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one two ", "length")


@pytest.mark.anyio
async def test_the_asynchronous_client_streams_too(stack: Stack) -> None:
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=SCRIPTED) as asynchronous:
        stream = await asynchronous.chat.completions.create(
            model="any", messages=script({"text": "a"}, {"text": "b"}), stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "ab"


def test_a_failure_before_the_first_token_is_a_status(connect: Connect) -> None:
    for streamed in (True, False):
        with pytest.raises(openai.InternalServerError) as refused:
            connect(SCRIPTED).chat.completions.create(
                model="any", messages=script({"fail": "unavailable"}), stream=streamed
            )
        assert refused.value.status_code == 503
        assert refused.value.code == "model_unavailable"


def test_a_failure_after_the_first_token_never_looks_like_an_end(connect: Connect) -> None:
    stream = connect(SCRIPTED).chat.completions.create(
        model="any", messages=script({"text": "half"}, {"fail": "error"}), stream=True
    )
    seen: list[Any] = []
    with pytest.raises(openai.APIError) as broken:
        seen.extend(chunk.choices[0] for chunk in stream)
    assert "".join(choice.delta.content or "" for choice in seen) == "half"
    assert all(choice.finish_reason is None for choice in seen)
    assert broken.value.code == "model_error"


def test_the_client_retries_what_may_be_retried(connect: Connect) -> None:
    attempts: list[str | None] = []

    def count(request: httpx.Request) -> None:
        attempts.append(request.headers.get("x-stainless-retry-count"))

    retrying = connect(
        SCRIPTED, max_retries=1, http_client=httpx.Client(event_hooks={"request": [count]})
    )
    with pytest.raises(openai.InternalServerError):
        retrying.chat.completions.create(model="any", messages=script({"fail": "unavailable"}))
    assert attempts == ["0", "1"]


def test_a_wrong_key_is_a_401_in_openais_words(connect: Connect) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        connect("sk_test_wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    assert refused.value.body == {
        "message": "Incorrect API key provided.",
        "type": "authentication_error",
        "param": None,
        "code": "invalid_api_key",
    }


def test_an_unknown_model_is_a_404_that_names_it(connect: Connect) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        connect().chat.completions.create(
            model="gpt-none", messages=[{"role": "user", "content": "Hello"}]
        )
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


def test_what_cannot_be_done_is_refused_by_name(connect: Connect) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        connect().chat.completions.create(
            model="wesen-chat-v1",
            messages=[{"role": "user", "content": "Hello"}],
            frequency_penalty=1.5,
        )
    assert refused.value.param == "frequency_penalty"


def test_models_are_listed_and_found_by_the_names_one_uses(connect: Connect) -> None:
    listed = [model.id for model in connect().models.list()]
    assert "wesen-chat-v1" in listed
    assert connect().models.retrieve("wesen-chat-v1").id == "wesen-chat-v1"
    with pytest.raises(openai.NotFoundError):
        connect().models.retrieve("gpt-none")


def test_replies_carry_openais_headers(connect: Connect) -> None:
    raw = connect().models.with_raw_response.list()
    assert raw.headers["x-request-id"]
    assert float(raw.headers["openai-processing-ms"]) >= 0
    limit = int(raw.headers["x-ratelimit-limit-requests"])
    assert 0 <= int(raw.headers["x-ratelimit-remaining-requests"]) < limit
    assert raw.headers["x-ratelimit-reset-requests"].endswith("s")
