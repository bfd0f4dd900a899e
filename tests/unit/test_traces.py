"""W3C Trace Context, to the letter."""

import pytest

from parley.telemetry.traces import TraceContext, parse, read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_caller_s_trace_is_read() -> None:
    assert parse([PARENT], ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]) == TraceContext(
        TRACE, SPAN, 1, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-",
        PARENT + "-00",
        PARENT + "\n",
        " " + PARENT,
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}g-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-.1",
        f"01-{TRACE}-{SPAN}-01x",
        "٤" * 55,
    ],
)
def test_what_is_not_valid_is_as_if_it_were_not_there(value: str) -> None:
    assert parse([value], ["rojo=1"]) is None


def test_two_parents_are_none() -> None:
    assert parse([PARENT, PARENT]) is None
    assert parse([]) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse([f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"]) == TraceContext(TRACE, SPAN, 1)


@pytest.mark.parametrize(("flags", "known"), [("00", 0), ("01", 1), ("ff", 1), ("fe", 0)])
def test_only_the_flag_that_is_known_is_passed_on(flags: str, known: int) -> None:
    found = parse([f"00-{TRACE}-{SPAN}-{flags}"])
    assert found is not None
    assert found.flags == known
    assert found.parent.endswith(f"-{known:02x}")


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([" a=1 ,\tb=2 ", "c=3"], "a=1,b=2,c=3"),
        (["a=1,,b=2"], "a=1,b=2"),
        (["tenant@vendor=x y"], "tenant@vendor=x y"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=1\r\nevil: 1"], ""),
        (["a=b=c"], ""),
        (["a=é"], ""),
        ([",".join(f"k{number}=v" for number in range(32))], "k0=v,"),
        ([",".join(f"k{number}=v" for number in range(33))], ""),
        (["a=" + "x" * 256], "a=x"),
        (["a=" + "x" * 257], ""),
        ([f"a={'x' * 256},b={'x' * 251}"], "a=x"),
        ([f"a={'x' * 256},b={'x' * 252}"], ""),
    ],
)
def test_a_state_is_passed_on_whole_or_not_at_all_and_does_not_spoil_the_trace(
    states: list[str], kept: str
) -> None:
    found = parse([PARENT], states)
    assert found is not None
    assert found.trace_id == TRACE
    assert found.state.startswith(kept)
    assert bool(found.state) == bool(kept)


def test_a_trace_is_begun_with_ids_of_its_own() -> None:
    first, second = TraceContext.begin(), TraceContext.begin()
    assert first.trace_id != second.trace_id
    assert parse([first.parent]) == first


def test_a_child_belongs_to_the_same_trace_and_is_another_span() -> None:
    parent = parse([PARENT], ["a=1"])
    assert parent is not None
    child = parent.child()
    assert (child.trace_id, child.state) == (TRACE, "a=1")
    assert child.span_id != SPAN
    assert child.headers == {"traceparent": child.parent, "tracestate": "a=1"}
    assert read(child.headers) == child
    assert read({}) is None
