"""Chat Completions' wire, byte by byte."""

import pytest

from parley.dialects.openai import codec
from parley.dialects.openai.errors import envelope
from parley.dialects.openai.headers import duration, headers
from parley.dialects.openai.schema import CompletionBody
from parley.domain.errors import InvalidRequest, ModelNotFound, StoreUnavailable
from parley.services.limits import Allowance


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


def body(**fields: object) -> CompletionBody:
    messages = [{"role": "user", "content": "Hi"}]
    return CompletionBody.model_validate({"model": "m", "messages": messages, **fields})


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
    assert [message.text for message in codec.prompt(body(**fields))] == ["Hi"]


@pytest.mark.parametrize(
    "fields", [{"tools": [{}]}, {"logprobs": True}, {"presence_penalty": 0.5}, {"store": True}]
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        codec.prompt(body(**fields))
    assert refused.value.param in fields


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert codec.parameters(body(max_tokens=5, max_completion_tokens=7)).max_tokens == 7
    assert codec.parameters(body(max_tokens=5)).max_tokens == 5


def test_one_stop_sequence_may_stand_alone() -> None:
    assert codec.parameters(body(stop="END")).stop == ("END",)
    assert codec.parameters(body(stop=["a", "b"])).stop == ("a", "b")
    assert codec.parameters(body()).stop == ()
