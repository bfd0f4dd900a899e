"""Dify's chat applications: its service API in its early and in its present form."""

from parley.dialects import Dialect
from parley.dialects.apps.errors import ERROR_SCHEMA, envelope
from parley.dialects.limits import headers

APPS = Dialect(
    name="apps",
    routes={
        "/ai/v1/chat-messages": "POST",
        "/ai/v1/chat-messages/{task_id}/stop": "POST",
        "/ai/v1/messages": "GET",
        "/ai/v1/messages/{message_id}/feedbacks": "POST",
        "/ai/v1/messages/{message_id}/suggested": "GET",
        "/ai/v1/conversations": "GET",
        "/ai/v1/conversations/name": "POST",
        "/ai/v1/conversations/{conversation_id}": "DELETE",
        "/ai/v1/conversations/{conversation_id}/name": "POST",
        "/ai/v1/parameters": "GET",
        "/ai/v1/info": "GET",
        "/ai/v1/meta": "GET",
    },
    envelope=envelope,
    error_schema=ERROR_SCHEMA,
    headers=headers,
)
