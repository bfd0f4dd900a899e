"""The documentation of all APIs: a page to read and to try them on, and the document behind it."""

from parley.dialects import Dialect
from parley.dialects.openai import OPENAI

DOCS = Dialect(
    name="docs",
    routes={
        "/docs": "GET",
        "/docs/{file}": "GET",
        "/openapi.json": "GET",
    },
    envelope=OPENAI.envelope,
    error_schema=OPENAI.error_schema,
    headers=lambda _allowance, _elapsed: {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    },
)
