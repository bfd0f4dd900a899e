"""What goes wrong at a server, as errors that a caller may see.

Servers that speak the same protocol still word their errors in many ways: OpenAI's object, a plain
text in its place, FastAPI's `detail`, a page of HTML. What an error means is decided by its status
first and its words second; its sentence is passed on only where it is about the caller's request
and tells nothing of the server.
"""

import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from parley.adapters.models.failures import (
    failed,
    means_too_long,
    misconfigured,
    refused,
    retry_after,
    throttled,
    too_long,
    unavailable,
)
from parley.domain.errors import ParleyError

log = logging.getLogger(__name__)

_INVALID = frozenset({400, 413, 422})
_PASSING = frozenset({408, 409, 425})
_THROTTLED = 429

_STATUS_OF_WORD: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "overloaded_error": 503,
    "server_error": 503,
    "internal_server_error": 503,
    "internalservererror": 503,
    "service_unavailable": 503,
    "unavailable_error": 503,
    "timeout": 503,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
}
"""What an error means that comes without a status, by its type or code."""

_NOT_THE_CALLERS = frozenset({"model", "stream", "stream_options"})
"""Fields that the operator's configuration or this adapter fills in."""

_OPERATORS_CODES = frozenset({"model_not_found", "invalid_api_key", "billing_not_active"})

_FIELD = re.compile(r"[A-Za-z_][\w.\[\]]{0,99}")


@dataclass(frozen=True, slots=True)
class Said:
    """What a server said of a failure."""

    message: str = ""
    words: tuple[str, ...] = ()
    """Its type, code and status, as far as they are words, in lower case."""
    status: int | None = None
    """As the body has it."""
    param: str | None = None


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, hidden: Collection[str], now: datetime
) -> ParleyError:
    """What an answer means that has another status than success.

    Args:
        body: the beginning of it.
        hidden: what no caller may read: the key, the host.
        now: to tell how long it is until a date.
    """
    said = _read(_json(body))
    log.warning("a model's server answered %d %s", status, said.words)
    if status == _THROTTLED:
        return throttled(retry_after(headers, now))
    if status >= 500:
        return unavailable(retry_after(headers, now))
    return _error(status, said, hidden)


def in_band(error: object, *, hidden: Collection[str], accepted: bool) -> ParleyError:
    """What an error means that came inside a successful answer.

    Args:
        error: the value in the place of the error.
        accepted: whether the reply had begun; from then on it is never the caller's fault.
    """
    said = _read({"error": error})
    log.warning("a model's server failed inside an answer: %s %s", said.status, said.words)
    known = (_STATUS_OF_WORD[word] for word in said.words if word in _STATUS_OF_WORD)
    status = said.status or next(known, 400 if means_too_long(said.message) else 0)
    if status == 0 or (accepted and 400 <= status < 500 and status != _THROTTLED):
        return failed()
    return _error(status, said, hidden)


def _error(status: int, said: Said, hidden: Collection[str]) -> ParleyError:
    if status in _INVALID:
        if means_too_long(" ".join([said.message, *said.words])):
            return too_long(said.message, hidden=hidden)
        if said.param in _NOT_THE_CALLERS or _OPERATORS_CODES.intersection(said.words):
            return misconfigured()
        return refused(said.message, param=said.param, hidden=hidden)
    if status == _THROTTLED:
        return throttled()
    if status >= 500 or status in _PASSING:
        return unavailable()
    return misconfigured()


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _read(value: object) -> Said:
    match value:
        case [first, *_]:
            return _read(first)
        case {"error": str(message)} | {"detail": str(message)} | str(message):
            return Said(message)
        case {"error": {} as error} | {"detail": {} as error}:
            return _described(error)
        case {"detail": [{"msg": str(message), **where}, *_]}:
            loc = where.get("loc")
            names = [part for part in loc if isinstance(part, str)] if isinstance(loc, list) else []
            return Said(message, param=_field(names[-1] if names else None))
        case dict() if "message" in value:
            return _described(value)
    return Said()


def _described(error: Mapping[str, Any]) -> Said:
    message = error.get("message")
    named = [error.get(name) for name in ("code", "type", "status")]
    numbers = [int(str(name)) for name in named if _is_status(name)]
    return Said(
        message if isinstance(message, str) else "",
        tuple(_word(name) for name in named if isinstance(name, str) and not _is_status(name)),
        numbers[0] if numbers else None,
        _field(error.get("param")),
    )


def _word(name: str) -> str:
    # It is logged, so it is kept to what a name is made of.
    return re.sub(r"\W", "", name)[:64].lower()


def _is_status(value: object) -> bool:
    return re.fullmatch("[45][0-9][0-9]", str(value)) is not None


def _field(value: object) -> str | None:
    return value if isinstance(value, str) and _FIELD.fullmatch(value) else None
