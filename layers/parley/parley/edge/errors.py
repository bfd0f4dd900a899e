"""Which status an error is sent with, and how it is rendered."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from parley.dialects import Dialect
from parley.domain import errors

_STATUS: dict[type[errors.ParleyError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.ModelThrottled: 429,
    errors.ModelUnavailable: 503,
    errors.StoreUnavailable: 503,
    errors.ModelError: 502,
    errors.ParleyError: 500,
}


class MethodNotAllowed(errors.ParleyError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"


class BodyTooLarge(errors.ParleyError):
    """The request's body is larger than a function may be sent."""

    code = "request_too_large"


_STATUS |= {MethodNotAllowed: 405, BodyTooLarge: 413}


def status_of(error: errors.ParleyError) -> int:
    """The status of the error's nearest class that has one."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def render(dialect: Dialect, error: errors.ParleyError) -> JSONResponse:
    """An error as a response in the dialect's envelope."""
    status = status_of(error)
    response = JSONResponse(dialect.envelope(error, status), status)
    if isinstance(error, errors.RateLimited):
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def invalid(found: RequestValidationError) -> errors.InvalidRequest:
    """The first of the problems with a request, as one sentence that names the field.

    Nothing of what was sent is repeated: it may be a secret that slipped into the wrong field.
    """
    problem = found.errors()[0]
    if problem["type"] == "json_invalid":
        return errors.InvalidRequest(
            f"The request body isn't valid JSON: {problem['ctx']['error']}."
        )
    param = ".".join(_steps(problem["loc"], found.body)) or None
    message = problem["msg"].removeprefix("Value error, ")
    is_missing = problem["type"] == "missing" and param is not None
    kind = errors.MissingField if is_missing else errors.InvalidRequest
    return kind(f"{param or 'The request body'}: {message}.", param=param)


def _steps(location: Sequence[int | str], body: Any) -> Iterator[str]:
    """The way to a field as the caller wrote it.

    Pydantic names the branch of a union as a step, too. Whatever leads nowhere in the body is such
    a name, unless it is the last: that may be a field that isn't there.
    """
    source, *steps = location
    value = body if source == "body" else {}
    for step in steps:
        match value:
            case list() if isinstance(step, int):
                value = value[step]
            case dict() if step in value or step == steps[-1]:
                value = value.get(step)
            case _:
                continue
        yield str(step)
