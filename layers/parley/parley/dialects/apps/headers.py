"""The headers of every reply."""

import math

from parley.services.limits import Allowance


def headers(allowance: Allowance | None, _: float) -> dict[str, str]:
    """Once a caller is known, what is left of this minute's requests."""
    if allowance is None:
        return {}
    return {
        "x-ratelimit-limit": str(allowance.limit),
        "x-ratelimit-remaining": str(allowance.remaining),
        "x-ratelimit-reset": str(math.ceil(allowance.resets_in)),
    }
