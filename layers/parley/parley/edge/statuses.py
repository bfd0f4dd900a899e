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
