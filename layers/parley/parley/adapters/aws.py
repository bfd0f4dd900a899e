"""What adapters of AWS services share: how to call, how long to wait, how to name a failure."""

import logging
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import to_thread
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from parley.domain.errors import ParleyError, StoreUnavailable

P = ParamSpec("P")
R = TypeVar("R")

CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=64,
    tcp_keepalive=True,
)
"""For every client whose calls take milliseconds.

At worst a call takes about 12 seconds, well below the 29 that API Gateway waits. The pool is larger
than the number of worker threads that anyio lends to one event loop, so no thread waits for a
connection. A transaction is safe to repeat: botocore sends the same `ClientRequestToken` at each
attempt, so one that was carried out and whose answer was lost isn't carried out twice.
"""

log = logging.getLogger(__name__)

_REFUSED_AS_WRONG = "ValidationException"


def domain_error(error: BotoCoreError | ClientError) -> ParleyError:
    """What to raise, from `error`, in place of what botocore raised.

    `StoreUnavailable` for a service that can't be reached, fails, throttles or doesn't let us in;
    `ParleyError` itself for a request that the service calls wrong, which no repetition mends.
    """
    tell(error)
    wrong = isinstance(error, ParamValidationError) or (
        isinstance(error, ClientError) and error_code(error) == _REFUSED_AS_WRONG
    )
    if wrong:
        return ParleyError("The request could not be carried out.")
    return StoreUnavailable("The store can't be reached right now. Please try again.")


def tell(error: BotoCoreError | ClientError) -> None:
    """Log what AWS calls a failure; whoever asked us for something is told less."""
    if isinstance(error, ClientError):
        log.warning("AWS refused %s: %s", error.operation_name, error_code(error))
    else:
        log.warning("AWS couldn't be asked: %s", type(error).__name__)


def error_code(error: ClientError) -> str:
    """The service's own name for what went wrong."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def in_thread(method: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Make a blocking method awaitable by running it in a worker thread.

    Cancelling the awaiting task doesn't cut the call off: it ends first. So whoever cleans up after
    a cancellation never races with a write still under way.
    """

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await to_thread.run_sync(partial(method, *args, **kwargs))

    return call
