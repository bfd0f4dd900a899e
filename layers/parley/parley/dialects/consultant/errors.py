"""Errors as the consultant API shows them: as a reply's body, and as the last event of a stream."""

from collections.abc import Mapping
from typing import Any

from parley.domain.errors import ParleyError

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": "string"},
            },
        }
    },
}


def describe(error: ParleyError) -> dict[str, Any]:
    """An error's code and sentence, and the field of the request that it is about, if it is."""
    described = {"code": error.code, "message": error.message}
    return described | {"field": error.param} if error.param is not None else described


def envelope(error: ParleyError, _status: int) -> dict[str, Any]:
    """Render an error as the body of a reply."""
    return {"error": describe(error)}
