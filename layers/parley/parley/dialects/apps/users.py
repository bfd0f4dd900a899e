"""Whose data a request is about: here a user sees their own and nothing else."""

from parley.domain.errors import InvalidRequest
from parley.domain.tenants import Caller


def as_user(caller: Caller, user: str | None) -> Caller:
    """The caller, held to the user that a request must name unless the credential does.

    Raises:
        InvalidRequest: neither names one.
        Forbidden: the credential speaks for another user.
    """
    if user is None and caller.user is None:
        raise InvalidRequest("Arg user must be provided.", param="user")
    return caller.acting_for(user)
