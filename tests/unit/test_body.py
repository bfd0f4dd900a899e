"""The shape that a request's JSON may have."""

import json
import time

import pytest

from parley.domain.errors import InvalidRequest
from parley.edge.body import MOST_LEVELS, MOST_VALUES, check_shape

DEEPEST = "[" * MOST_LEVELS + "]" * MOST_LEVELS
WIDEST = json.dumps([1] * (MOST_VALUES - 1))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        DEEPEST,
        WIDEST,
        json.dumps({"content": "[{," * MOST_VALUES}),
        json.dumps({"content": '\\"[{,' * MOST_VALUES}),
        json.dumps([{"a": [1]}] * 1000),
    ],
    ids=[
        "empty",
        "object",
        "deepest",
        "widest",
        "brackets in text",
        "escapes",
        "many side by side",
    ],
)
def test_what_people_and_programs_say_passes(body: str) -> None:
    check_shape(body)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (f"[{DEEPEST}]", MOST_LEVELS),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, MOST_LEVELS),
        ("[" * 90_000, MOST_LEVELS),
        (f'{{"text": "]]]]", "a": [{DEEPEST}]}}', MOST_LEVELS),
        (json.dumps([1] * MOST_VALUES), MOST_VALUES),
        (json.dumps(dict.fromkeys(map(str, range(MOST_VALUES)), 1)), MOST_VALUES),
        ("[" * 6_000_000, MOST_VALUES),
    ],
)
def test_a_bomb_is_refused_by_the_limit_that_it_breaks(body: str, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=str(limit)):
        check_shape(body)


@pytest.mark.parametrize(
    "body", ['"' + '\\"' * 3_000_000, '"' * 6_000_000, "\\" * 6_000_000 + "[,", "]" * 6_000_000]
)
def test_text_that_is_no_json_is_left_to_the_parser_soon(body: str) -> None:
    """Finding strings takes time in proportion to the text: quadratic would be hours."""
    began = time.process_time()
    check_shape(body)
    assert time.process_time() - began < 10
