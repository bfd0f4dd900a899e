"""Everything that can go wrong, as one hierarchy with stable codes.

A dialect turns a code into its envelope and the edge turns a class into a status; nothing here
knows either. Messages are written for the caller: they name what to change, never what broke
inside.
"""

from typing import ClassVar


class ParleyError(Exception):
    """Base of every error a caller may see.

    Attributes:
        code: stable machine-readable name, part of the API.
        message: one sentence a person can act on.
        param: name of the offending request field, where there is one.
        is_told_again: whether it is how an earlier turn ended, so that to ask again is of no use.
    """

    code: ClassVar[str] = "internal_error"
    is_told_again = False

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(ParleyError):
    """The request can't be understood or asks for something impossible; nothing was changed."""

    code = "invalid_request"


class MissingField(InvalidRequest):
    """A field that the request must have isn't there; `param` names it."""


class MessageTooLong(InvalidRequest):
    """A single message is larger than Parley stores."""

    code = "message_too_long"


class ContextTooLong(InvalidRequest):
    """The prompt doesn't fit the model's context window."""

    code = "context_length_exceeded"


class ConversationFull(InvalidRequest):
    """A conversation has reached the highest message number."""

    code = "conversation_full"


class Unauthenticated(ParleyError):
    """No credential, or one that isn't valid (unknown, malformed, revoked: never told apart)."""

    code = "invalid_api_key"


class Forbidden(ParleyError):
    """The credential is valid, but not for this."""

    code = "forbidden"


class PriceUnknown(Forbidden):
    """There is a budget, and nobody has said what this model costs."""

    code = "price_unknown"


class NotFound(ParleyError):
    """There is no such thing in the caller's scope; another's thing reads exactly the same."""

    code = "not_found"


class ModelNotFound(NotFound):
    """The tenant has no route for this model name."""

    code = "model_not_found"


class Conflict(ParleyError):
    """The request contradicts what is stored; trying again unchanged won't help."""

    code = "conflict"


class TurnInProgress(Conflict):
    """Another turn of this conversation isn't over, and its tenant wants one at a time."""

    code = "turn_in_progress"


class RequestInProgress(Conflict):
    """The same request, by its idempotency key, is still being answered."""

    code = "request_in_progress"


class KeyReused(ParleyError):
    """An idempotency key came with another request than before; nothing was changed."""

    code = "idempotency_key_reused"


class RateLimited(ParleyError):
    """A limit is reached.

    Attributes:
        retry_after: seconds until the same request may be tried again.
    """

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after = retry_after


class TooManyTurns(RateLimited):
    """As many turns are running as may run at a time."""

    code = "too_many_turns"


class BudgetExhausted(RateLimited):
    """What is left of a month's budget may not be enough for this request."""

    code = "budget_exhausted"


class ModelError(ParleyError):
    """The model's side failed; the caller did nothing wrong."""

    code = "model_error"


class ModelUnavailable(ModelError):
    """The model can't be reached or is still starting; trying again later may help.

    Attributes:
        retry_after: seconds until it may be tried again, where anybody tells.
    """

    code = "model_unavailable"

    def __init__(
        self, message: str, *, retry_after: float | None = None, param: str | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.retry_after = retry_after


class Interrupted(ModelError):
    """Whatever ran the turn ended before the reply did; what was kept of it is in the history."""

    code = "interrupted"


class ModelThrottled(ModelError):
    """The model's owner limits us right now; trying again later helps.

    Attributes:
        retry_after: seconds until the model takes requests again, where its owner tells.
    """

    code = "model_throttled"

    def __init__(
        self, message: str, *, retry_after: float | None = None, param: str | None = None
    ) -> None:
        super().__init__(message, param=param)
        self.retry_after = retry_after


class StoreUnavailable(ParleyError):
    """The store can't be reached or throttles us; nothing was changed as far as we know."""

    code = "store_unavailable"


class TooManyConnections(RateLimited):
    """The tenant has as many connections open as it may have."""

    code = "too_many_connections"


class ConnectionGone(ParleyError):
    """The connection isn't open: it has been closed, or its handshake hasn't ended yet."""

    code = "connection_gone"
