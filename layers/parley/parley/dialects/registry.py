"""Which dialect a path belongs to."""

import re
from itertools import takewhile

from parley.dialects import Dialect
from parley.dialects.admin import ADMIN
from parley.dialects.apps import APPS
from parley.dialects.consultant import CONSULTANT
from parley.dialects.docs import DOCS
from parley.dialects.health import HEALTH
from parley.dialects.openai import OPENAI
from parley.dialects.personas import PERSONAS
from parley.dialects.sessions import SESSIONS
from parley.dialects.tenant import TENANT

DIALECTS = (OPENAI, SESSIONS, TENANT, APPS, PERSONAS, CONSULTANT, ADMIN, DOCS, HEALTH)

_ROUTES = [
    (template, dialect, methods)
    for dialect in DIALECTS
    for template, methods in sorted(dialect.routes.items())
]


def _as_pattern(template: str) -> str:
    """A variable is one segment; one whose name ends in `+` is all that are left."""
    return re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+\+\}", ".+", template))


# As in API Gateway a fixed segment goes before a variable one: `/v1/chat/stream` isn't a chat's.
_PATHS = [
    (re.compile(_as_pattern(template)), dialect, methods)
    for template, dialect, methods in sorted(
        _ROUTES, key=lambda route: [part.startswith("{") for part in route[0].split("/")]
    )
]


def find(path: str) -> tuple[Dialect, str | None]:
    """The dialect that answers on a path and the methods it has there.

    An unknown path has no methods, and is refused in the words of the dialect whose paths begin as
    it does; OpenAI's, which most clients read, where none does or several do.
    """
    for pattern, dialect, methods in _PATHS:
        if pattern.fullmatch(path):
            return dialect, methods
    return max(DIALECTS, key=lambda dialect: _in_common(dialect, path)), None


def _in_common(dialect: Dialect, path: str) -> int:
    """How many leading segments the path shares with one of the dialect's."""

    def shared(route: str) -> int:
        pairs = zip(path.split("/"), route.split("/"), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(map(shared, dialect.routes))
