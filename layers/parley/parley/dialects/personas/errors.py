"""Errors, as a response's body and as the last event of a stream: one object for both."""

from collections.abc import Mapping
from typing import Any

from parley.domain.errors import ParleyError

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "code", "message"],
    "properties": {
        "type": {"const": "error"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "param": {"type": "string"},
    },
}


def envelope(error: ParleyError, _status: int = 0) -> dict[str, Any]:
    """Render an error; `param` is there where a field of the request is to blame."""
    rendered = {"type": "error", "code": error.code, "message": error.message}
    return rendered | ({"param": error.param} if error.param else {})
