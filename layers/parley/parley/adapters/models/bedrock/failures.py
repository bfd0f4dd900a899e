"""What goes wrong at Bedrock, as errors that a caller may see."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from parley.adapters.models.failures import (
    failed,
    means_too_long,
    misconfigured,
    refused,
    retry_after,
    throttled,
    too_long,
    unavailable,
    unreadable,
)
from parley.domain.errors import ParleyError

log = logging.getLogger(__name__)

_THROTTLED = frozenset(
    {"ThrottlingException", "TooManyRequestsException", "ServiceQuotaExceededException"}
)
_UNAVAILABLE = frozenset(
    {
        "InternalServerException",
        "ServiceUnavailableException",
        "ModelNotReadyException",
        "ModelTimeoutException",
        # The next two say that the model failed; AWS asks to try again.
        "ModelErrorException",
        "ModelStreamErrorException",
    }
)
_INVALID = "ValidationException"

_ABOUT_THE_MODEL_ID = re.compile(
    r"model identifier|model id\b|on-demand throughput|inference profile", re.IGNORECASE
)
"""What a `ValidationException` may be about that no caller has said."""


def failure(error: Exception, *, accepted: bool) -> ParleyError | None:
    """What to raise in place of what botocore or urllib3 raised; None for what isn't theirs.

    Args:
        accepted: whether the reply had begun; from then on it is never the caller's fault.
    """
    match error:
        case ClientError():
            return _told(error.response, accepted=accepted)
        case EndpointConnectionError() | HTTPClientError() | HTTPError():
            return unavailable()
        case ParserError() | ResponseParserError():
            return unreadable()
        case BotoCoreError():  # no credentials, no region, an argument that isn't one …
            log.warning("bedrock can't be asked: %s", type(error).__name__)
            return misconfigured()
    return None


def _told(response: Mapping[str, Any], *, accepted: bool) -> ParleyError:
    """What Bedrock's own answer means, or an exception inside its stream."""
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    code = code[:1].upper() + code[1:]  # inside a stream they begin in lower case
    about = response.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode", 0)
    log.warning("bedrock answered %s %s", status, re.sub(r"\W", "", code)[:64])
    if code in _THROTTLED or (status == 429 and code not in _UNAVAILABLE):
        return throttled(retry_after(about.get("HTTPHeaders", {}), datetime.now(UTC)))
    if code in _UNAVAILABLE or status >= 500:
        return unavailable(retry_after(about.get("HTTPHeaders", {}), datetime.now(UTC)))
    if accepted:
        return failed()
    if code != _INVALID or _ABOUT_THE_MODEL_ID.search(message):
        return misconfigured()
    return too_long(message) if means_too_long(message) else refused(message)
