"""Which status an error is sent with; apart from how, since that takes FastAPI.

What stands behind no FastAPI route needs the status alone, and starts faster without the rest.
"""

from parley.domain import errors

_STATUS: dict[type[errors.ParleyError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.KeyReused: 422,  # not 409, after which OpenAI's clients would try again
    errors.RateLimited: 429,
    errors.ModelThrottled: 429,
    errors.ModelUnavailable: 503,
    errors.Interrupted: 503,  # the model did nothing wrong
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


_PAUSES: dict[type[errors.ParleyError], float] = {
    errors.RequestInProgress: 1,
    errors.TurnInProgress: 1,
}
"""Seconds after which to try again what fails for a moment only, where the error doesn't say."""


def retry_after(error: errors.ParleyError) -> float | None:
    """Seconds until the same request may be tried again; None where nobody knows."""
    told: float | None = getattr(error, "retry_after", None)
    return _PAUSES.get(type(error)) if told is None else told


def status_of(error: errors.ParleyError) -> int:
    """The status of the error's nearest class that has one."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
