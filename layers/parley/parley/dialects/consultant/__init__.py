"""A shop's consultant that recommends products of the shop's own catalogue."""

from parley.dialects import Dialect
from parley.dialects.consultant.errors import ERROR_SCHEMA, envelope
from parley.dialects.limits import headers

CONSULTANT = Dialect(
    name="consultant",
    routes={
        "/api/v1/chat": "POST",
        "/api/v1/chat/stream": "POST",
        "/api/v1/chat/{chatId}/messages": "GET",
        "/v1/chat": "POST",
        "/v1/chat/stream": "POST",
        "/v1/chat/{chatId}/messages": "GET",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=headers,
)
