"""Whether a deployment is alive, and whether what it needs can be reached."""

from parley.dialects import Dialect
from parley.dialects.openai import OPENAI

HEALTH = Dialect(
    name="health",
    routes={"/health": "GET", "/health/ready": "GET"},
    envelope=OPENAI.envelope,
    error_schema=OPENAI.error_schema,
    headers=lambda _allowance, _elapsed: {"cache-control": "no-store"},
)
