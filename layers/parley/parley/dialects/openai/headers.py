"""The headers OpenAI's service sends with every reply."""

from parley.services.limits import Allowance


def headers(allowance: Allowance | None, elapsed_ms: float) -> dict[str, str]:
    """Time taken and, once a caller is known, what is left of this minute's requests."""
    sent = {"openai-processing-ms": f"{elapsed_ms:.0f}"}
    if allowance is not None:
        sent |= {
            "x-ratelimit-limit-requests": str(allowance.limit),
            "x-ratelimit-remaining-requests": str(allowance.remaining),
            "x-ratelimit-reset-requests": duration(allowance.resets_in),
        }
    return sent


def duration(seconds: float) -> str:
    """A time span as OpenAI writes it: `12ms`, `6s`, `1m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
