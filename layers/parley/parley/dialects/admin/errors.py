"""Errors as the admin API shows them: a code, a sentence, the field, and a document's mistakes."""

from collections.abc import Mapping
from typing import Any

from parley.domain.errors import ParleyError

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "param"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "mistakes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["line", "message"],
                        "properties": {
                            "line": {"type": "integer"},
                            "message": {"type": "string"},
                        },
                    },
                },
            },
        }
    },
}


def envelope(error: ParleyError, _status: int) -> dict[str, Any]:
    """Render an error as the body of a reply; a document's has `mistakes`, each with its line."""
    told: dict[str, Any] = {"code": error.code, "message": error.message, "param": error.param}
    if mistakes := getattr(error, "mistakes", ()):
        told["mistakes"] = [{"line": each.line, "message": each.reason} for each in mistakes]
    return {"error": told}
