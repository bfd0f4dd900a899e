"""Server-side chat sessions beside Chat Completions, whose errors and headers they share."""

from parley.dialects import Dialect
from parley.dialects.openai import OPENAI

SESSIONS = Dialect(
    name="sessions",
    routes={
        "/v1/chats": "GET, POST",
        "/v1/chats/{chatId}": "DELETE, GET",
        "/v1/chat/{chatId}": "POST",
        "/v1/chat/{chatId}/history": "GET",
        "/v1/turns/{turnId}/events": "GET",
        "/v1/turns/{turnId}/stop": "POST",
    },
    envelope=OPENAI.envelope,
    error_schema=OPENAI.error_schema,
    headers=OPENAI.headers,
)
