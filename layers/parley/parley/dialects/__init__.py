"""The chat APIs Parley speaks.

A dialect's folder owns four things: its schema, how a request becomes a command, how an event
becomes its wire, and how an error becomes its envelope. Nothing outside a dialect's folder knows
its wire.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from parley.domain.errors import ParleyError
from parley.services.limits import Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the edge needs to know of a dialect."""

    name: str
    routes: Mapping[str, str]
    """Methods, as an Allow header lists them, by path template."""
    envelope: Callable[[ParleyError, int], Mapping[str, Any]]
    """Renders an error and the status it is sent with as the dialect's JSON body."""
    error_schema: Mapping[str, Any]
    """JSON Schema of that body."""
    headers: Callable[[Allowance | None, float], Mapping[str, str]]
    """Headers of every reply, from what is left of the rate limit and the milliseconds it took."""
    mend: Callable[[str], str] = str
    """Makes a request's body the JSON that was meant, where the dialect's own examples aren't."""
