"""Errors as Dify's clients read them: code, message and status, by the codes Dify has for them."""

from collections.abc import Mapping
from typing import Any

from parley.domain import errors
from parley.domain.apps import AppUnavailable, SuggestionsDisabled

ERROR_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["code", "message", "status"],
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "status": {"type": "integer"},
        "params": {"type": "string", "description": "Which field is wrong, where one is."},
    },
}

_CODES: Mapping[type[errors.ParleyError], str] = {
    errors.InvalidRequest: "invalid_param",
    errors.ConversationFull: "conversation_completed",
    AppUnavailable: "app_unavailable",
    SuggestionsDisabled: "bad_request",
    errors.Unauthenticated: "unauthorized",
    errors.Forbidden: "forbidden",
    errors.NotFound: "not_found",
    errors.ModelNotFound: "provider_not_initialize",
    errors.RateLimited: "too_many_requests",
    errors.ModelThrottled: "rate_limit_error",
    errors.ModelError: "completion_request_error",
    errors.Interrupted: errors.Interrupted.code,
}

_IN_STREAM: Mapping[type[errors.ParleyError], int] = {
    errors.InvalidRequest: 400,
    errors.Conflict: 409,
    errors.ModelThrottled: 429,
    errors.ModelError: 502,
    errors.ModelUnavailable: 503,
    errors.Interrupted: 503,
    errors.StoreUnavailable: 503,
    errors.ParleyError: 500,
}
"""The status that an error event names, as the reply's own has been sent before."""


def envelope(error: errors.ParleyError, status: int) -> dict[str, Any]:
    """Render an error that is sent with this status."""
    fallback = error.code if status < 500 else "internal_server_error"
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), fallback)
    body: dict[str, Any] = {"code": code, "message": error.message, "status": status}
    if error.param is not None:
        body["params"] = error.param
    return body


def event(error: errors.ParleyError) -> dict[str, Any]:
    """What an error event says of the error."""
    kinds = type(error).__mro__
    return envelope(error, next(_IN_STREAM[kind] for kind in kinds if kind in _IN_STREAM))
