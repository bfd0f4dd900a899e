"""Which dialect answers, and refuses, on which path."""

import pytest

from parley.dialects.registry import find


@pytest.mark.parametrize(
    ("path", "dialect", "methods"),
    [
        ("/v1/models", "openai", "GET"),
        ("/v1/chats/x", "sessions", "DELETE, GET"),
        ("/api/v1/chats", "tenant", "POST"),
        ("/api/v1/chats/user/x", "tenant", "GET"),
        ("/api/v1/chats/user/x/y", "tenant", None),
        ("/v1/nothing", "openai", None),
        ("/nothing", "openai", None),
        ("/", "openai", None),
    ],
)
def test_a_path_belongs_to_the_dialect_whose_paths_begin_so(
    path: str, dialect: str, methods: str | None
) -> None:
    found, has = find(path)
    assert (found.name, has) == (dialect, methods)
