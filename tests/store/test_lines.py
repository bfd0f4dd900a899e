"""How the threads of one process wait for each other."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from parley.adapters.dynamodb.lines import Lines
from parley.domain.errors import StoreUnavailable


def test_one_at_a_time_has_the_turn_and_leaves_to_the_next_what_it_knows() -> None:
    lines, together = Lines(), Barrier(8)

    def count(_: int) -> None:
        together.wait()
        for _ in range(200):
            with lines.join("talk", seconds=30) as line:
                known = line.known
                line.known = known + 1
                assert line.known == known + 1
            counted.append(known)

    counted: list[int] = []
    with lines.join("talk", seconds=0) as line, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(count, number) for number in range(8)]
        while line.waiting < 9:
            assert not counted
        line.turn.release()  # so that the line, which someone still stands in, stays the same
        for each in waiting:
            each.result()
        line.turn.acquire()
    assert sorted(counted) == list(range(8 * 200))


def test_whoever_comes_to_an_empty_line_knows_nothing() -> None:
    lines = Lines()
    for _ in range(2):
        with lines.join("talk", seconds=0) as line:
            assert line.known == 0
            line.known = 7


def test_other_things_have_lines_of_their_own() -> None:
    lines = Lines()
    with lines.join("talk", seconds=0), lines.join("another", seconds=0) as line:
        assert line.waiting == 1


def test_whose_turn_does_not_come_in_time_gives_up_and_hinders_nobody() -> None:
    lines = Lines()
    with lines.join("talk", seconds=0) as line:
        with pytest.raises(StoreUnavailable), lines.join("talk", seconds=0.001):
            pass
        assert line.waiting == 1
    with lines.join("talk", seconds=0):
        pass


def test_a_turn_that_fails_ends_all_the_same() -> None:
    lines = Lines()
    with pytest.raises(ZeroDivisionError), lines.join("talk", seconds=0):
        raise ZeroDivisionError
    with lines.join("talk", seconds=0):
        pass
