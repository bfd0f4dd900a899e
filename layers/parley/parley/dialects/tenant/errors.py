"""Errors as the tenant API shows them: a code, a sentence, and details that help to mend it."""

import math
from collections.abc import Mapping
from typing import Any

from parley.domain import errors

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string"},
                        "suggestion": {"type": "string"},
                        "retry_after": {"type": "integer"},
                    },
                },
            },
        }
    },
}

_SUGGESTIONS: Mapping[str, str] = {
    "invalid_api_key": "Send your tenant's API key in the header X-API-Key.",
    "forbidden": "Use a credential of the user whose data this is.",
    "chat_not_found": (
        "Create a chat with POST /api/v1/chats and use the chat_id that it answers with."
    ),
    "missing_parameter": "Send the parameter that `field` names.",
    "invalid_parameter": "Correct the parameter that `field` names.",
    "invalid_request": "Send a JSON object in UTF-8.",
    "method_not_allowed": "Use one of the methods that the header Allow names.",
    "model_not_found": "Leave `model` out to use your tenant's default.",
    "message_too_long": "Send a shorter message.",
    "context_length_exceeded": "Send a shorter message, or choose a model with a larger window.",
    "conversation_full": "Create another chat.",
    "rate_limit_exceeded": "Wait for the seconds that `retry_after` tells, then try again.",
    "too_many_turns": "Wait until another reply has ended, then try again.",
    "budget_exhausted": "Ask whoever runs this service for a larger budget.",
    "price_unknown": "Ask whoever runs this service to set a price for this model.",
    "too_many_connections": "Close a connection that isn't needed any more.",
    "model_unavailable": "Try again in a moment.",
    "model_throttled": "Try again in a moment.",
    "store_unavailable": "Try again in a moment.",
}


def describe(error: errors.ParleyError) -> dict[str, Any]:
    """An error's code, message and details, the same over HTTP and over a WebSocket."""
    code = _code(error)
    details: dict[str, Any] = {}
    if error.param is not None:
        details["field"] = error.param
    if code in _SUGGESTIONS:
        details["suggestion"] = _SUGGESTIONS[code]
    if isinstance(error, errors.RateLimited):
        details["retry_after"] = max(1, math.ceil(error.retry_after))
    return {"code": code, "message": error.message, "details": details}


def envelope(error: errors.ParleyError, _status: int) -> dict[str, Any]:
    """Render an error as the body of a reply."""
    return {"error": describe(error)}


def _code(error: errors.ParleyError) -> str:
    """The core's code, but where this API has a more telling word of its own."""
    match error:
        case errors.ModelNotFound():
            return error.code
        case errors.NotFound():
            return "chat_not_found"  # nothing else is looked for here
        case errors.MissingField():
            return "missing_parameter"
        case errors.InvalidRequest(code="invalid_request") if error.param is not None:
            return "invalid_parameter"
    return error.code
