"""What is left of requests when they are over: lines, metrics and traces, and no word of a text."""

import asyncio
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from parley import bootstrap
from parley.domain.routes import ModelRoute
from parley.domain.tenants import CATCH_ALL, Limits, Tenant
from parley.services.conversations import Conversations
from parley.telemetry.traces import parse
from tests.routes.conftest import NOW, ROOT, Clients, Context, Invoke, invoke_socket
from tests.support.lines import Lines

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

TEXT = "canary-text"
SECRET = "sk_test_canarysecret"
SAID = f'script:[{{"text": "the model says {TEXT}"}}]'
FAILING = f'script:[{{"text": "{TEXT}"}}, {{"fail": "error"}}]'
SECRETS = (TEXT, SECRET, "sk_test_demo", "eyJ")
"""What no line may have: texts, keys that are wrong, keys that are right, tokens."""


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Lines.taken() as lines:
        yield lines


def ask(invoke: Invoke, said: str = SAID, **body: Any) -> Any:
    messages = [{"role": "user", "content": said}]
    return invoke("openai/create_completion", messages=messages, **body)


def limit(services: bootstrap.Services, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
    """Give the demo tenant other limits."""
    demo = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert demo is not None
    loop.run_until_complete(services.directory.put_tenant(replace(demo, limits=limits)))


# One line a request, one a turn -----------------------------------------------------------------


def test_a_request_leaves_one_line_that_says_who_asked_for_what(
    invoke: Invoke, lines: Lines
) -> None:
    reply = invoke("openai/list_models")
    [line] = lines.of("server")
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["span_name"] == "GET /v1/models"
    assert line["http.route"] == "/v1/models"
    assert line["http.request.method"] == "GET"
    assert line["http.response.status_code"] == 200
    assert (line["tenant"], line["dialect"]) == ("demo", "openai")
    assert line["key_id"]
    assert (line["Requests"], line["Dialect"], line["Stack"]) == (1, "openai", "parley-local")
    assert line["StoreLatency"]


def test_a_turn_leaves_a_line_within_its_request_s_trace(invoke: Invoke, lines: Lines) -> None:
    assert ask(invoke, model="wesen-chat-v1", stream=True).status == 200
    [request], [turn] = lines.of("server"), lines.of("internal")
    assert turn["parent_span_id"] == request["span_id"]
    for name in ("request_id", "trace_id", "tenant", "turn_id"):
        assert turn[name] == request[name]
    assert turn["gen_ai.request.model"] == turn["Model"] == "wesen-chat-v1"
    assert turn["Turns"] == 1
    assert 0 < turn["TimeToFirstToken"] <= request["duration_ms"]
    assert turn["InputTokens"] > 0
    assert turn["OutputTokens"] > 0
    assert turn["StoreLatency"]
    assert "FailedTurns" not in turn
    sets = turn["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert sets == [["Stack"], ["Stack", "Dialect", "Model"]]


def test_a_turn_that_fails_tells_why(invoke: Invoke, lines: Lines) -> None:
    reply = ask(invoke, FAILING, stream=True)
    assert reply.status == 200  # it had begun
    [turn] = lines.of("internal")
    assert turn["error.type"] == "model_error"
    assert (turn["FailedTurns"], turn["status"]) == (1, "failed")


def test_each_of_several_turns_has_a_line_of_its_own(invoke: Invoke, lines: Lines) -> None:
    ask(invoke, n=3, stream=False)
    turns = lines.of("internal")
    assert len({turn["turn_id"] for turn in turns}) == len(turns) == 3
    assert all(turn["request_id"] == lines.of("server")[0]["request_id"] for turn in turns)


def test_names_that_callers_make_up_make_no_metrics(
    services: bootstrap.Services, loop: asyncio.AbstractEventLoop, invoke: Invoke, lines: Lines
) -> None:
    scripted = ModelRoute("scripted", "scripted")
    tenant = Tenant(id="demo", created_at=NOW, models={CATCH_ALL: scripted})
    loop.run_until_complete(services.directory.put_tenant(tenant))
    ask(invoke, model=f"{TEXT}-model", stream=False)
    [turn] = lines.of("internal")
    assert turn["Model"] == turn["gen_ai.request.model"] == CATCH_ALL
    assert TEXT not in lines.text


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, 401, "invalid_api_key"),
        ({"model": TEXT}, 404, "model_not_found"),
        ({"temperature": TEXT}, 400, "invalid_request"),
    ],
)
def test_an_error_is_counted_by_its_class(
    invoke: Invoke, lines: Lines, change: dict[str, Any], status: int, code: str
) -> None:
    assert invoke("openai/create_completion", **change).status == status
    [line] = lines.of("server")
    assert line["error.type"] == line["Error"] == code
    assert line["Errors"] == 1
    assert "ServerErrors" not in line
    assert "LimitsHit" not in line


def test_a_limit_that_is_hit_is_counted(invoke: Invoke, lines: Lines) -> None:
    while (
        invoke("openai/list_models", headers={"Authorization": "Bearer sk_test_limited"}).status
        == 200
    ):
        pass
    assert lines.of("server")[-1]["LimitsHit"] == 1
    assert lines.of("server")[-1]["tenant"] == "limited"


def test_what_nobody_foresaw_is_a_server_error_and_told_without_its_text(
    invoke: Invoke, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(TEXT)

    monkeypatch.setattr(Conversations, "list", fail)
    assert invoke("sessions/list_chats").status == 500
    [story, line] = lines.all
    assert story["level"] == "ERROR"
    assert story["exception_name"] == "ValueError"
    assert story["request_id"] == line["request_id"]
    assert line["ServerErrors"] == 1
    assert TEXT not in lines.text


def test_paths_that_are_not_served_leave_a_line_too_and_are_not_repeated_in_it(
    invoke: Invoke, lines: Lines
) -> None:
    assert invoke("fallback/refuse_method").status == 405
    [line] = lines.of("server")
    assert (line["error.type"], line["Dialect"]) == ("method_not_allowed", "openai")
    assert "http.route" not in line


# Traces -----------------------------------------------------------------------------------------


def test_a_caller_s_trace_goes_on_in_the_reply_and_in_the_lines(
    invoke: Invoke, lines: Lines
) -> None:
    reply = invoke("openai/list_models", headers={"traceparent": PARENT, "tracestate": "a=1"})
    told = parse([reply.headers["traceparent"]])
    [line] = lines.of("server")
    assert told is not None
    assert (line["trace_id"], line["parent_span_id"]) == (TRACE, SPAN)
    assert (told.trace_id, told.span_id) == (TRACE, line["span_id"])


@pytest.mark.parametrize("header", [None, "00-junk", PARENT + "\nx"])
def test_where_there_is_none_that_is_valid_a_trace_begins(
    invoke: Invoke, lines: Lines, header: str | None
) -> None:
    reply = invoke("openai/list_models", headers={"traceparent": header} if header else None)
    told = parse([reply.headers["traceparent"]])
    [line] = lines.of("server")
    assert told is not None
    assert told.trace_id == line["trace_id"] != TRACE
    assert "parent_span_id" not in line


def test_errors_and_refusals_carry_the_trace_and_the_request_id(invoke: Invoke) -> None:
    for reply in (
        invoke("openai/list_models", headers={"Authorization": "Bearer wrong"}),
        invoke("fallback/refuse_method"),
        invoke("health/get_health"),
    ):
        assert parse([reply.headers["traceparent"]])
        assert reply.headers["x-request-id"]


# Live chats -------------------------------------------------------------------------------------


def test_a_message_over_a_connection_is_one_trace_up_to_the_worker_s_reply(
    clients: Clients, stored_chat: str, lines: Lines
) -> None:
    invoke_socket("connect")
    clients.open["L0SM9cOFvHcCIhw="] = []
    invoke_socket("receive", body=json.dumps({"type": "message", "content": SAID}))
    for job in clients.invoked:
        invoke_socket("reply", **job)
    received = lines.of("server")[-1]
    answered = next(line for line in lines.of("consumer") if line["span_name"] == "job Answer")
    [turn] = lines.of("internal")
    assert received["span_name"] == "WS $default"
    assert received["trace_id"] == answered["trace_id"] == turn["trace_id"]
    assert answered["parent_span_id"] == received["span_id"]
    assert turn["parent_span_id"] == answered["span_id"]
    assert received["tenant"] == answered["tenant"] == turn["tenant"] == "demo"
    assert answered["request_id"] == Context.aws_request_id
    assert turn["Dialect"] == "tenant"
    assert turn["TimeToFirstToken"] > 0


def test_a_limit_hit_within_a_connection_is_counted(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    clients: Clients,
    stored_chat: str,
    lines: Lines,
) -> None:
    limit(services, loop, Limits(messages_per_second=1))
    invoke_socket("connect")
    clients.open["L0SM9cOFvHcCIhw="] = []
    while not any("LimitsHit" in line for line in lines.of("server")):
        invoke_socket("receive")
        assert len(lines.of("server")) < 100
    assert lines.of("server")[-1]["error.type"] == "rate_limit_exceeded"


# Nothing of what was said -----------------------------------------------------------------------


def poisoned(value: Any) -> Any:
    """The value with a canary in each of its texts that a person may have written."""
    match value:
        case dict():
            return {key: poisoned(each) for key, each in value.items()}
        case list():
            return [poisoned(each) for each in value]
        case str() if " " in value:
            return f"{value} {TEXT}"
    return value


@pytest.fixture
def unlimited(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> None:
    limit(services, loop, Limits(requests_per_minute=10_000))


def every_event(*, operators: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in sorted((ROOT / "events").glob("*/*.json")):
        event = json.loads(file.read_text())
        if "httpMethod" in event and (file.parent.name == "admin") == operators:
            yield f"{file.parent.name}/{file.stem}", event


def test_no_text_of_an_operator_s_is_ever_logged(
    invoke: Invoke, clients: Clients, lines: Lines, capfd: pytest.CaptureFixture[str]
) -> None:
    served, keys = set(), set()
    for name, event in sorted(every_event(operators=True), key=lambda each: "delete" in each[0]):
        body = json.loads(event["body"]) if event["body"] else None
        for change in (
            {"fields": poisoned(body)} if body else {},
            {"fields": dict.fromkeys(body, TEXT)} if body else {},
            {"query": {"user": TEXT, "after": TEXT, "cursor": TEXT, "by": TEXT}},
        ):
            reply = invoke(name, **change)
            served.add(reply.status)
            if reply.status == 201:
                keys.add(reply.json.get("key"))
    assert {200, 201, 202, 400, 404, 409} <= served
    assert len(keys - {None}) > 1
    out, err = capfd.readouterr()
    for secret in (TEXT, *(keys - {None})):
        assert secret not in lines.text
        assert secret not in out + err


@pytest.mark.usefixtures("unlimited", "stored_chat")
def test_no_text_and_no_secret_is_ever_logged(
    invoke: Invoke, clients: Clients, lines: Lines, capfd: pytest.CaptureFixture[str]
) -> None:
    talk_live(clients)
    served = set()
    for name, event in every_event():
        body = json.loads(event["body"]) if event["body"] else None
        for change in (
            {"fields": poisoned(body)} if body else {},
            {"fields": dict.fromkeys(body, TEXT)} if body else {},
            {"headers": {"Authorization": f"Bearer {SECRET}", "User-Agent": TEXT}},
            {"headers": {"X-API-Key": SECRET, "tracestate": TEXT, "traceparent": TEXT}},
            {"query": {"user": TEXT, "after": TEXT, "api_key": SECRET, "limit": TEXT}},
        ):
            served.add(invoke(name, **change).status)
    for said in (SAID, FAILING):
        invoke("sessions/send_message", content=said)
        ask(invoke, said, stream=True)
        ask(invoke, said, stream=False)
        invoke("apps/create_message", fields={"query": said, "response_mode": "streaming"})
        invoke("personas/create_session", message=said)
        invoke("consultant/send_message", message=said)
        invoke("consultant/stream_message", message=said)
    token = invoke("personas/get_token").json["token"]
    assert token.startswith("eyJ")
    invoke("openai/list_models", headers={"Authorization": f"Bearer {token}"})
    assert {200, 400, 401, 404} <= served
    assert len(lines.of("server")) > 200
    assert len(lines.of("internal")) > 15
    out, err = capfd.readouterr()
    for secret in SECRETS:
        assert secret not in lines.text + out + err


def talk_live(clients: Clients) -> None:
    invoke_socket("connect")
    query = {"api_key": SECRET, "user_id": TEXT, "chat_id": TEXT}
    invoke_socket("connect", queryStringParameters=query, headers={})
    clients.open["L0SM9cOFvHcCIhw="] = []
    for said in (SAID, FAILING):
        invoke_socket("receive", body=json.dumps({"type": "message", "content": said}))
    invoke_socket("receive", body=TEXT)
    while clients.invoked:
        invoke_socket("reply", **clients.invoked.pop(0))
    told = json.dumps(clients.open)
    assert TEXT in told


def test_the_streaming_application_writes_its_lines_by_the_same_rules() -> None:
    """The function behind the adapter is the same application, in whatever server it runs."""
    streaming = importlib.import_module("functions.streaming.app")
    kinds = [middleware.cls.__name__ for middleware in streaming.app.user_middleware]
    assert kinds[0] == "Observed"
