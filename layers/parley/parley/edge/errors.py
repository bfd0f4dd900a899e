"""How an error is rendered as a response."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from parley.dialects import Dialect
from parley.domain import errors
from parley.edge.statuses import status_of


def render(dialect: Dialect, error: errors.ParleyError) -> JSONResponse:
    """An error as a response in the dialect's envelope."""
    status = status_of(error)
    response = JSONResponse(dialect.envelope(error, status), status)
    retry_after: float | None = getattr(error, "retry_after", None)
    if retry_after is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(retry_after)))
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
