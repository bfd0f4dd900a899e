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
from email.utils import parsedate_to_datetime
from typing import Any

from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
    ParleyError,
)

log = logging.getLogger(__name__)

LONGEST_SENTENCE = 400
"""Characters of a server's sentence that is passed on."""

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

_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|maximum context|prompt is too long|too many (input )?tokens"
    r"|max_new_tokens. must be",
    re.IGNORECASE,
)
_FIELD = re.compile(r"[A-Za-z_][\w.\[\]]{0,99}")
_MARKUP_OR_ADDRESS = re.compile(r"[<>\x00-\x1f\x7f]|://|\b\d{1,3}(\.\d{1,3}){3}\b|\bsk-")


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
    return _error(status, said, hidden=hidden, retry_after=_retry_after(headers, now))


def in_band(error: object, *, hidden: Collection[str], accepted: bool) -> ParleyError:
    """What an error means that came inside a successful answer.

    Args:
        error: the value in the place of the error.
        accepted: whether the reply had begun; from then on it is never the caller's fault.
    """
    said = _read({"error": error})
    log.warning("a model's server failed inside an answer: %s %s", said.status, said.words)
    known = (_STATUS_OF_WORD[word] for word in said.words if word in _STATUS_OF_WORD)
    status = said.status or next(known, 0)
    if _TOO_LONG.search(said.message) and not status:
        status = 400
    if status == 0 or (accepted and 400 <= status < 500 and status != _THROTTLED):
        return ModelError("The model failed while it replied.")
    return _error(status, said, hidden=hidden, retry_after=None)


def unavailable() -> ModelUnavailable:
    """The server can't be reached, or has left in the middle of an answer."""
    return ModelUnavailable("The model can't be reached right now. Please try again.")


def unreadable() -> ModelError:
    """The server answered something that isn't a chat completion."""
    return ModelError("The model's answer can't be read.")


def misconfigured() -> ModelError:
    """Only the operator can mend it."""
    return ModelError(
        "The model's server doesn't accept this service; the operator has to look at its "
        "configuration."
    )


def _error(
    status: int, said: Said, *, hidden: Collection[str], retry_after: float | None
) -> ParleyError:
    if status in _INVALID:
        return _invalid(said, hidden)
    if status == _THROTTLED:
        return ModelThrottled(
            "The model takes no more requests right now. Please try again later.",
            retry_after=retry_after,
        )
    if status >= 500 or status in _PASSING:
        return unavailable()
    return misconfigured()


def _invalid(said: Said, hidden: Collection[str]) -> ParleyError:
    if _TOO_LONG.search(" ".join([said.message, *said.words])):
        sentence = _passable(said.message, hidden)
        return ContextTooLong(
            sentence or "The prompt doesn't fit the model's context window.", param="messages"
        )
    if said.param in _NOT_THE_CALLERS or _OPERATORS_CODES.intersection(said.words):
        return misconfigured()
    sentence = _passable(said.message, hidden)
    return InvalidRequest(
        f"The model refuses the request: {sentence}"
        if sentence
        else "The model refuses the request.",
        param=said.param,
    )


def _passable(sentence: str, hidden: Collection[str]) -> str | None:
    """The sentence, where a caller may read it."""
    if not sentence or len(sentence) > LONGEST_SENTENCE or _MARKUP_OR_ADDRESS.search(sentence):
        return None
    if any(secret in sentence for secret in hidden):
        return None
    return sentence


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


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds; None where they aren't told or make no sense."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isdecimal():
        return int(milliseconds) / 1000
    told = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}(\.\d+)?", told):
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds())
    except (ValueError, TypeError):
        return None
