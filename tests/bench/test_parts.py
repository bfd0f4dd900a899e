"""Every part of the bench measures what it says, on a small scale."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from bench import cold_start, durability, embedded, store, streaming, telemetry
from bench.code import Code, code
from bench.stack import aws
from bench.store import Asked, Calls, Row
from bench.table import table
from tests.support.capacity import Cost


@pytest.fixture(scope="module")
def measured() -> Iterator[Code]:
    with aws():
        yield code()


def test_a_start_takes_time_for_imports_and_most_of_all_without_bytecode(measured: Code) -> None:
    starts = cold_start.measure(measured, runs=1)
    [quick], [slow] = starts.values()
    for start in (quick, slow):
        assert 0 < start.interpreter < start.imports
        assert 0 < start.second < start.first
        assert start.imports < start.cpu
    assert slow.imports > quick.imports
    assert cold_start.report(measured, starts).count("\n") > len(starts)


def test_the_imports_table_names_the_largest_packages(measured: Code) -> None:
    printed = cold_start.imports(measured)
    assert {"fastapi", "pydantic", "botocore", "parley"} <= set(printed.split())


def test_a_stream_has_a_first_content_before_its_end(measured: Code) -> None:
    cases = streaming.measure(measured, short_runs=1, long_runs=1, deltas=100)
    for case in cases:
        [short], [long] = case.short, case.long
        assert 0 < short.first <= short.whole
        assert 0 < long.first <= long.whole
    if (
        sys.platform == "linux"
    ):  # a process's clock may stand still for longer than bare's stream takes
        assert sum(sample.cpu for case in cases for sample in (*case.short, *case.long)) > 0
    assert [case.name for case in cases][-1] == "bare"
    assert "stored conversation : bare" in streaming.report(measured, cases, deltas=100)


def test_a_turn_takes_the_same_of_the_store_however_much_is_stored(measured: Code) -> None:
    sizes = store.Sizes(messages=(10, 14), more_messages=(64, 68), conversations=(2, 21, 25))
    rows = asyncio.run(store.measure(sizes))
    assert store.differences(rows) == []
    first, usual, few_read, _, many_read, *_ = (row.asked for row in rows)
    assert first.before > usual.before  # the credential is read once
    assert usual.cost.calls == usual.before + usual.after
    assert many_read.cost.reads > few_read.cost.reads
    assert all(row.asked.seconds > 0 for row in rows)
    assert "turn, 64 messages read" in store.report(rows)


def test_telemetry_costs_something_for_a_request_and_less_for_a_delta(
    measured: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "ROUNDS", 1)
    cost = telemetry.measure(measured)
    assert cost.own_ms > 0
    assert cost.powertools_ms > 0
    assert 0 < cost.delta_us < cost.request_us
    assert cost.line_bytes > 300
    assert "a delta, µs" in telemetry.report(cost)


# What the figures are made with ------------------------------------------------------------------


def row(stored: int, *, before: int = 3, reads: float = 2, same: bool = True) -> Row:
    return Row("turn", stored, Asked(before, 1, Cost(before + 1, reads, 11), 0.004), same)


def test_what_depends_on_the_amount_stored_is_told() -> None:
    assert store.differences([row(10), row(1000)]) == []
    [sentence] = store.differences([row(10), row(1000, reads=3)])
    assert "1,000" in sentence
    assert len(store.differences([row(10), row(100, before=4), row(1000, before=4)])) == 2
    assert store.differences([row(1, reads=1, same=False), row(10), row(1000)]) == []


def test_calls_side_by_side_count_once() -> None:
    one_after_the_other = Calls([(0.0, 1.0), (1.0, 2.0), (2.5, 3.0)])
    side_by_side = Calls([(0.0, 2.0), (0.5, 1.0), (0.5, 1.5), (2.0, 3.0)])
    assert one_after_the_other.sequential(0, 4) == 3
    assert side_by_side.sequential(0, 4) == 2
    assert side_by_side.sequential(0, 2) == 1
    assert side_by_side.sequential(2, 4) == 1


def test_a_table_has_numbers_to_the_right() -> None:
    printed = table("T", ("", "n"), [("a", 1), ("bb", 12_345.6), ("c", float("nan"))], "A note.")
    assert printed.splitlines() == [
        "T",
        "",
        "        n",
        "--  -----",
        "a       1",
        "bb  12346",
        "c       -",
        "A note.",
    ]


def test_checkpoints_cost_a_write_each_and_nothing_before_the_first_token(measured: Code) -> None:
    none, without, some, with_ = asyncio.run(durability.measure(lengths=(0, 2), runs=1))[:4]
    assert without.checkpoints == 1  # in the step that settles the reply
    assert none.calls == without.calls
    assert some.checkpoints == 0
    assert with_.checkpoints >= 2
    assert with_.writes > some.writes
    assert "with : without" in durability.report([none, without, some, with_])


def test_the_embedded_model_is_measured_in_a_process_of_its_own() -> None:
    [run] = embedded.measure(runs=1)
    assert run.load > 0
    if sys.platform == "linux":
        assert run.memory > 50
    assert run.read > 0
    assert run.written > 0
    assert "tokens read a second" in embedded.report([run])
