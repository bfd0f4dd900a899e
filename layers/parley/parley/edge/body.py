"""How large the JSON of a request may be, besides its bytes.

Four megabytes of `1,1,1` where objects belong are a million mistakes. Each would be kept while a
schema is checked, which took half a minute and four gigabytes; so values are counted beforehand.
"""

import re

from parley.domain.errors import InvalidRequest

MOST_VALUES = 100_000
"""Values in a body, containers included; the longest conversations there are have fewer."""

MOST_LEVELS = 100
"""How deep they may be nested; schemas of tools, which go deepest, rarely reach ten."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def check_shape(body: str) -> None:
    """Refuse JSON of too many values or levels; text that isn't JSON may pass.

    Raises:
        InvalidRequest: there are too many.
    """
    if _opened(body) <= MOST_LEVELS and _values(body) <= MOST_VALUES:
        return  # whatever stands in its strings
    bare = _STRING.sub("", body)
    if _values(bare) > MOST_VALUES:
        raise InvalidRequest(f"The request body has more than {MOST_VALUES} values.")
    if _levels(bare) > MOST_LEVELS:
        raise InvalidRequest(f"The request body is nested deeper than {MOST_LEVELS} levels.")


def _opened(text: str) -> int:
    return text.count("[") + text.count("{")


def _values(text: str) -> int:
    """Values that a text without strings has at most: each follows a comma or opens something."""
    return 1 + text.count(",") + _opened(text)


def _levels(text: str) -> int:
    deepest = level = 0
    for bracket in _BRACKET.finditer(text):
        level += 1 if bracket[0] in "[{" else -1
        if level < 0:
            break  # no JSON
        deepest = max(deepest, level)
    return deepest
