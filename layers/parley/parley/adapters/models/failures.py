"""What every remote model's failures have in common: their sentences, and what may be passed on."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelThrottled,
    ModelUnavailable,
)

LONGEST_SENTENCE = 400
"""Characters of a server's sentence that is passed on."""

_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|maximum context|(prompt|input) is too long"
    r"|too many (input )?tokens|max_new_tokens. must be|maximum number of (input )?tokens",
    re.IGNORECASE,
)
_TELLS_OF_THE_SERVER = re.compile(
    r"[<>\x00-\x1f\x7f]"  # markup, or a stack trace's lines
    r"|://|\b\d{1,3}(\.\d{1,3}){3}\b"  # addresses
    r"|\bsk-|\barn:|\b\d{12}\b"  # keys; resources and accounts of AWS
)


def unavailable(retry_after: float | None = None) -> ModelUnavailable:
    """The server can't be reached, fails, or has left in the middle of an answer."""
    return ModelUnavailable(
        "The model can't be reached right now. Please try again.", retry_after=retry_after
    )


def throttled(retry_after: float | None = None) -> ModelThrottled:
    """The server takes no more for now."""
    return ModelThrottled(
        "The model takes no more requests right now. Please try again later.",
        retry_after=retry_after,
    )


def misconfigured() -> ModelError:
    """Only the operator can mend it."""
    return ModelError(
        "The model's server doesn't accept this service; the operator has to look at its "
        "configuration."
    )


def unreadable() -> ModelError:
    """The server answered something that isn't a completion."""
    return ModelError("The model's answer can't be read.")


def failed() -> ModelError:
    """The model failed after it had begun to reply."""
    return ModelError("The model failed while it replied.")


def broken_off() -> ModelError:
    """The stream ended, and the reply hadn't."""
    return ModelError("The model's reply broke off before its end.")


def ended_oddly() -> ModelError:
    """The reply ended for a reason that can't be told as one of `FinishReason`."""
    return ModelError("The model's reply ended for a reason that isn't known here.")


def refused(
    sentence: str, *, param: str | None = None, hidden: Collection[str] = ()
) -> InvalidRequest:
    """The model refuses the request; its sentence is passed on where that is safe."""
    said = passable(sentence, hidden)
    return InvalidRequest(
        f"The model refuses the request: {said}" if said else "The model refuses the request.",
        param=param,
    )


def too_long(sentence: str, *, hidden: Collection[str] = ()) -> ContextTooLong:
    """The prompt doesn't fit; the model's sentence is passed on where that is safe."""
    return ContextTooLong(
        passable(sentence, hidden) or "The prompt doesn't fit the model's context window.",
        param="messages",
    )


def means_too_long(sentence: str) -> bool:
    """Whether a refusal is about the length of the prompt; servers share no code for it."""
    return _TOO_LONG.search(sentence) is not None


def passable(sentence: str, hidden: Collection[str]) -> str | None:
    """The sentence, where it is one that a caller may read.

    Args:
        hidden: what no caller may read, such as a key or a host.
    """
    if not sentence or len(sentence) > LONGEST_SENTENCE or _TELLS_OF_THE_SERVER.search(sentence):
        return None
    if any(secret in sentence for secret in hidden):
        return None
    return sentence


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until a server wants to be asked again; None where it doesn't tell.

    Args:
        headers: of its answer, their names in lower case.
        now: to tell how long it is until a date.
    """
    milliseconds = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d{1,9}", milliseconds):
        return int(milliseconds) / 1000
    told = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}(\.\d+)?", told):
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds())
    except (ValueError, TypeError):
        return None
