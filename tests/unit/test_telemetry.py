"""Spans, metrics and log lines."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextvars import copy_context
from types import coroutine
from typing import Any

import pytest

from local import LAYER
from parley.telemetry import spans, work
from parley.telemetry.logs import LineFormatter, story
from parley.telemetry.metrics import MOST_VALUES
from parley.telemetry.spans import Span
from parley.telemetry.traces import TraceContext
from tests.support.lines import Lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Lines.taken() as lines:
        yield lines


def formatted(logger: str, message: str, *args: object, **extra: Any) -> str:
    record = logging.getLogger(logger).makeRecord(
        logger, logging.WARNING, "file.py", 1, message, args, None, extra=extra
    )
    return LineFormatter().format(record)


# Lines --------------------------------------------------------------------------------------------

FORGED = '\n{"level":"INFO","message":"forged"}\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029'


@pytest.mark.parametrize(
    "line",
    [
        formatted("parley.x", "hello %s", FORGED),
        formatted("parley.x", FORGED),
        formatted("parley.x", "hello", field=FORGED),
        formatted("parley.x", "hello", field={FORGED: [FORGED]}),
        formatted("uvicorn.access", '%s - "%s %s HTTP/%s" %d', "::1", "GET", FORGED, "1.1", 200),
        formatted("botocore.retries", "Retry needed: %s", FORGED),
    ],
)
def test_nothing_that_is_logged_can_begin_a_line(line: str) -> None:
    assert line.splitlines() == [line]
    assert line.isascii()
    assert json.loads(line)["message"] != "forged"


def test_a_span_keeps_no_more_values_than_its_line_can_have(lines: Lines) -> None:
    span = Span("test", kind="internal")
    for _ in range(10 * MOST_VALUES):
        span.measure("StoreLatency", 1.0)
    assert sum(map(len, span._measured.values())) == MOST_VALUES
    span.end({}, [])
    [line] = lines.all
    assert line["StoreLatency"] == [1.0] * MOST_VALUES


def test_a_bound_field_can_not_forge_a_line_either(lines: Lines) -> None:
    with spans.entered(Span("test", kind="internal"), request_id=FORGED):
        logging.getLogger("parley.x").warning("hello")
    [line] = lines.text.splitlines()
    assert json.loads(line)["request_id"] == FORGED


def test_an_exception_is_told_as_types_and_places_without_a_word_of_what_it_says(
    lines: Lines,
) -> None:
    def fail() -> None:
        try:
            int("SECRET")
        except ValueError as error:
            raise RuntimeError("SECRET") from error

    try:
        fail()
    except RuntimeError as error:
        error.add_note("SECRET")
        logging.getLogger("parley.x").exception("it failed")
        logging.getLogger("asyncio").exception("never retrieved\nfuture: SECRET")
    for line in lines.all:
        assert line["exception_name"] == "RuntimeError"
        kinds = [step for step in line["exception"] if ":" not in step]
        assert kinds == ["RuntimeError", "ValueError"]
        assert any("test_telemetry.py:" in step for step in line["exception"])
    assert len(lines.all) == 2
    assert "SECRET" not in lines.text


def test_a_chain_of_causes_that_bites_its_tail_is_told_once() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert story(first) == ["ValueError", "KeyError"]


def test_a_value_that_json_does_not_know_is_told_as_its_type() -> None:
    class Secret:
        def __str__(self) -> str:
            return "SECRET"

    assert json.loads(formatted("parley.x", "hello", field=Secret()))["field"] == "<Secret>"


def test_a_library_is_kept_short() -> None:
    line = json.loads(formatted("urllib3", "x" * 1000))
    assert (line["message"], line["logger"]) == ("x" * 300, "urllib3")


PROCESS = """
import logging, logging.config, uvicorn.config
logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
logging.getLogger("uvicorn.access").setLevel(logging.INFO)
from parley.telemetry.logs import set_up
from parley.telemetry.spans import Span
set_up(level="ERROR", deployment="test")
set_up(level="ERROR", deployment="test")
forged = 'x\\n{"message": "forged"}'
logging.getLogger("parley.somewhere").error("of ours: %s", forged)
logging.getLogger("parley.somewhere").warning("quieter than asked for")
logging.getLogger("botocore").warning("of a library: %s", forged)
logging.getLogger("botocore").info("SECRET")
logging.getLogger("uvicorn.error").error("of the server: %s", forged)
logging.getLogger("uvicorn.access").warning('%s - "%s %s"', "::1", "GET", forged)
Span("last", kind="internal").end({}, [()])
"""


def test_all_that_a_process_logs_is_lines_and_metrics_come_at_every_level() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env={**os.environ, "PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert told == [
        'of ours: x\n{"message": "forged"}',
        "of a library: x",
        "of the server: x",
        '::1 - "GET x',
        "internal",
    ]
    assert done.stderr == ""


# Spans --------------------------------------------------------------------------------------------


def test_a_span_leaves_one_line_with_its_place_in_the_trace(lines: Lines) -> None:
    parent = TraceContext.begin()
    span = Span("GET /v1/models", kind="server", parent=parent)
    with spans.entered(span, request_id="r-1"):
        logging.getLogger("parley.x").warning("on the way")
        assert spans.propagated() == span.trace.headers
        work.leave(span, 200)
        work.leave(span, 500)
    on_the_way, line = lines.all
    assert spans.current() is None
    assert spans.bound() == {}
    for each in (on_the_way, line):
        assert each["request_id"] == "r-1"
        assert each["trace_id"] == parent.trace_id
        assert each["span_id"] == span.trace.span_id
    assert line["parent_span_id"] == parent.span_id
    assert (line["span_name"], line["span_kind"]) == ("GET /v1/models", "server")
    assert line["http.response.status_code"] == 200
    assert line["duration_ms"] >= 0
    assert "error.type" not in line


def test_one_that_is_never_finished_leaves_other_work_as_it_is() -> None:
    @coroutine
    def pause() -> Generator[None]:
        yield

    async def unfinished() -> None:
        spans.bind(request_id="r-1")
        with spans.entered(Span("left", kind="server")):
            await pause()

    left = unfinished()
    copy_context().run(left.send, None)
    left.close()  # as the garbage collector does, amid whatever is running
    assert spans.bound() == {}


def test_its_metrics_are_in_cloudwatch_s_embedded_format(lines: Lines) -> None:
    span = Span("GET /v1/models", kind="server")
    span.attributes["dialect"] = "openai"
    with spans.entered(span):
        spans.measure("StoreLatency", 1.234)
        spans.measure("StoreLatency", 5)
        work.failed("rate_limit_exceeded", is_limit=True)
        work.leave(span, 429)
    [line] = lines.all
    by_dialect, by_error = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000
    assert by_dialect["Namespace"] == "Parley"
    assert by_dialect["Dimensions"] == [["Stack"], ["Stack", "Dialect"]]
    units = {metric["Name"]: metric["Unit"] for metric in by_dialect["Metrics"]}
    assert units == {
        "StoreLatency": "Milliseconds",
        "LimitsHit": "Count",
        "Errors": "Count",
        "Requests": "Count",
        "Latency": "Milliseconds",
    }
    assert by_error["Dimensions"] == [["Stack", "Error"]]
    assert by_error["Metrics"] == [{"Name": "Errors", "Unit": "Count"}]
    assert (line["Dialect"], line["Error"]) == ("openai", "rate_limit_exceeded")
    assert (line["StoreLatency"], line["Requests"], line["Errors"]) == ([1.23, 5], 1, 1)
    assert all(line[name] is not None for name in [*units, "Stack", "Dialect", "Error"])


def test_budgets_are_kept_for_the_deployment_alone(lines: Lines) -> None:
    span = Span("chat", kind="internal")
    with spans.entered(span):
        spans.measure("BudgetUsed", 91)
        span.measure("Turns", 1)
        span.end({"Dialect": "openai", "Model": "*"}, [(), ("Dialect", "Model")])
    turns, budgets = lines.all[0]["_aws"]["CloudWatchMetrics"]
    assert budgets["Dimensions"] == [["Stack"]]
    assert [metric["Name"] for metric in budgets["Metrics"]] == ["BudgetUsed"]
    assert [metric["Name"] for metric in turns["Metrics"]] == ["Turns"]


def test_a_span_without_measurements_is_no_metric(lines: Lines) -> None:
    Span("quiet", kind="consumer").end({}, [()])
    assert "_aws" not in lines.all[0]


def test_a_job_is_no_request_but_its_failure_counts(lines: Lines) -> None:
    work.leave(Span("job Answer", kind="consumer"), 500)
    [line] = lines.all
    assert "Requests" not in line
    assert (line["ServerErrors"], line["Errors"]) == (1, 1)
    assert line["error.type"] == "internal_error"


def test_cloudwatch_is_never_told_more_values_than_it_takes(lines: Lines) -> None:
    span = Span("busy", kind="server")
    for _ in range(150):
        span.measure("StoreLatency", 1)
    work.leave(span, 200)
    assert len(lines.all[0]["StoreLatency"]) == 100


def test_a_metric_that_nobody_declared_is_refused() -> None:
    with pytest.raises(KeyError):
        spans.measure("Surprises", 1)


def test_outside_of_any_work_a_measurement_is_lost() -> None:
    spans.measure("LimitsHit", 1)
    assert spans.propagated() == {}
