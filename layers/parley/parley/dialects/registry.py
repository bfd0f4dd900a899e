"""Which dialect a path belongs to."""

import re

from parley.dialects import Dialect
from parley.dialects.openai import OPENAI
from parley.dialects.sessions import SESSIONS
from parley.dialects.tenant import TENANT

DIALECTS = (OPENAI, SESSIONS, TENANT)

_PATHS = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", template)), dialect, methods)
    for dialect in DIALECTS
    for template, methods in sorted(dialect.routes.items())
]


def find(path: str) -> tuple[Dialect, str | None]:
    """The dialect that answers on a path and the methods it has there.

    An unknown path has no methods, and is refused in OpenAI's words, which most clients read.
    """
    for pattern, dialect, methods in _PATHS:
        if pattern.fullmatch(path):
            return dialect, methods
    return OPENAI, None
