"""OpenAI's Chat Completions API."""

from parley.dialects import Dialect
from parley.dialects.openai.errors import ERROR_SCHEMA, envelope
from parley.dialects.openai.headers import headers

OPENAI = Dialect(
    name="openai",
    routes={
        "/v1/chat/completions": "GET, POST",
        "/v1/chat/completions/{completion_id}": "DELETE, GET, POST",
        "/v1/chat/completions/{completion_id}/messages": "GET",
        "/v1/models": "GET",
        "/v1/models/{model+}": "GET",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=headers,
)
