"""Chats with personas: a token for a user, a session begun and continued, both streamed."""

from parley.dialects import Dialect
from parley.dialects.limits import headers
from parley.dialects.personas.body import mend
from parley.dialects.personas.errors import ERROR_SCHEMA, envelope

PERSONAS = Dialect(
    name="personas",
    routes={
        "/api/chat/get_token": "POST",
        "/api/chat/completion/stream": "POST",
        "/api/chat/continuation/stream": "POST",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=headers,
    mend=mend,
)
