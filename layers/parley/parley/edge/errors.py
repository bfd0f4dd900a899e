"""How an error is rendered as a response."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from parley.dialects import Dialect
from parley.domain import errors
from parley.edge.statuses import retry_after, status_of


def render(dialect: Dialect, error: errors.ParleyError) -> JSONResponse:
    """An error as a response in the dialect's envelope."""
    status = status_of(error)
    response = JSONResponse(dialect.envelope(error, status), status)
    pause = retry_after(error)
    if pause is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(pause)))
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def invalid(found: RequestValidationError) -> errors.InvalidRequest:
    """The first of the problems with a request, as one sentence that names the field.

    Where a field may be of several forms, it is the problem with the form that fits best. Nothing
    of what was sent is repeated: it may be a secret that slipped into the wrong field.
    """
    problem = _most_telling(found)
    if problem["type"] == "json_invalid":
        return errors.InvalidRequest(
            f"The request body isn't valid JSON: {problem['ctx']['error']}."
        )
    if isinstance(found.body, bytes) and problem["loc"] == ("body",):
        return errors.InvalidRequest(
            "The request body is read as JSON where the header Content-Type says application/json."
        )
    param = ".".join(_steps(problem, found.body)) or None
    message = _message(problem)
    is_missing = problem["type"] == "missing" and param is not None
    kind = errors.MissingField if is_missing else errors.InvalidRequest
    return kind(f"{param or 'The request body'}: {message}.", param=param)


_PLAINLY = {
    "frozen_set_type": "Input should be a valid list",
    "tuple_type": "Input should be a valid list",
    "dict_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
}
"""What pydantic says of Python's types, in words of JSON's."""


def _message(problem: Mapping[str, Any]) -> str:
    """What is wrong, without a full stop."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in {"too_long", "too_short"} and isinstance(problem["input"], str):
        least = kind == "too_short"
        bound = context["min_length" if least else "max_length"]
        unit = "character" if bound == 1 else "characters"
        return f"Text should have at {'least' if least else 'most'} {bound} {unit}"
    message: str = _PLAINLY.get(kind, problem["msg"])
    return message.removeprefix("Value error, ").removesuffix(".")


def _most_telling(found: RequestValidationError) -> Any:
    """The first problem or, if a form of the same field was followed further, what is wrong there.

    Pydantic tells for each form of a field why it isn't that one: of a list of parts first that it
    is no text, and then what is wrong with the third part.
    """
    first, *others = found.errors()
    telling, deepest = first, list(_steps(first, found.body))
    for other in others:
        way = list(_steps(other, found.body))
        if len(way) > len(deepest) and way[: len(deepest)] == deepest:
            telling, deepest = other, way
    return telling


def _steps(problem: Mapping[str, Any], body: Any) -> Iterator[str]:
    """The way to a field as the caller wrote it.

    Pydantic names the branch of a union as a step, too. Whatever leads nowhere in the body is such
    a name, unless it is the last of the way to a field that isn't there.
    """
    source, *steps = problem["loc"]
    if source != "body":
        yield from map(str, steps[:1])
        return
    is_missing = problem["type"] == "missing"
    value = body
    for at, step in enumerate(steps, start=1):
        match value:
            case list() if isinstance(step, int):
                value = value[step]
            case dict() if step in value or (is_missing and at == len(steps)):
                value = value.get(step)
            case _:
                continue
        yield str(step)
