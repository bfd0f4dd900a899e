"""Chats of a tenant's users: managed over HTTP, held over a WebSocket."""

from parley.dialects import Dialect
from parley.dialects.limits import headers
from parley.dialects.tenant.errors import ERROR_SCHEMA, envelope

TENANT = Dialect(
    name="tenant",
    routes={
        "/api/v1/chats": "POST",
        "/api/v1/chats/user/{user_id}": "GET",
        "/api/v1/chats/{chat_id}": "DELETE, GET",
        "/api/v1/chats/{chat_id}/messages": "GET",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=headers,
)
