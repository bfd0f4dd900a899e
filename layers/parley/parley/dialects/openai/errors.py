"""Errors as OpenAI's clients read them: one object of four keys, all of them always present."""

from collections.abc import Mapping
from typing import Any

from parley.domain.errors import ParleyError

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def envelope(error: ParleyError, status: int) -> dict[str, Any]:
    """Render an error that is sent with this status."""
    fallback = "invalid_request_error" if status < 500 else "server_error"
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(status, fallback),
            "param": error.param,
            "code": error.code,
        }
    }
