"""What the terminal of the local stack shows of what functions log."""

import io
import json

import pytest

from local.screen import output


def test_an_error_is_shown_with_the_places_it_came_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = json.dumps(
        {
            "level": "ERROR",
            "message": "a route failed",
            "exception": ["ValueError", "get_usage.py:12 in get_usage"],
        }
    )
    log = io.StringIO()
    output(log, line)
    assert log.getvalue() == f"{line}\n"
    _, *places = capsys.readouterr().out.splitlines()
    assert places == ["    ValueError", "    get_usage.py:12 in get_usage"]
