"""The rate limit as the headers of every reply tell it, in all dialects but OpenAI's."""

from parley.services.limits import Allowance


def headers(allowance: Allowance | None, _elapsed_ms: float) -> dict[str, str]:
    """Once a caller is known, this minute's limit, what is left of it, and when it ends.

    The end is a moment in Unix seconds, as most APIs that send `X-RateLimit-Reset` mean it;
    `Retry-After` beside a refusal says the same in seconds from now.
    """
    if allowance is None:
        return {}
    return {
        "x-ratelimit-limit": str(allowance.limit),
        "x-ratelimit-remaining": str(allowance.remaining),
        "x-ratelimit-reset": str(allowance.resets_at),
    }
