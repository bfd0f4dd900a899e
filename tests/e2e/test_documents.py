"""A first command of each API as it is pasted into a shell: only host and key are one's own."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Stack

KEY = "sk_test_conformance"


def in_json(output: str) -> Any:
    return json.loads(output)


def as_events(output: str) -> list[Any]:
    """What a reader of `data: {…}` lines makes of a stream."""
    return [json.loads(line[6:]) for line in output.splitlines() if line.startswith("data: {")]


COMPLETION = """
curl -X POST HOST/v1/chat/completions \\
-H "Authorization: Bearer KEY" \\
-H "Content-Type: application/json" \\
-d '{
"model": "wesen-chat-v1",
"messages": [{"role": "user", "content": "ሰላም! ቡና እንዴት ይፈላል?"}],
"max_tokens": 8
}'
"""

SESSION = """
curl -X POST "HOST/v1/chats" -H 'X-API-Key: KEY' -H 'Content-Type: application/json' \\
  --data '{"title": "Coins of Axum", "systemPrompt": "You are a numismatist."}'
"""

TENANT_CHAT = """
curl -X POST "HOST/api/v1/chats/" \\
  -H "X-API-Key: KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"user_id": "user456"}'
"""

CONSULTATION = """
curl -X POST "HOST/v1/chat" \\
-H "Authorization: Bearer KEY" \\
-H "Content-Type: application/json" \\
-d '{
"message": "Which tent do you recommend for two?",
"stream": false
}'
"""

APP_QUESTION = """
curl --location --request POST 'HOST/ai/v1/chat-messages' \\
--header 'Authorization: Bearer KEY' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "inputs": {},
    "query": "hm",
    "response_mode": "streaming",
    "conversation_id": "",
    "user": "abc-456"
}'
"""

TOKEN = """
curl -v -X POST HOST/api/chat/get_token \\
-H "X-API-Key: KEY" \\
-H "Content-Type: application/json" \\
-d '{
"user_id" : "unique-456",
"persona": { "persona_id": 1, "version_type": "next" }
}'
"""

PERSONA_SESSION = """
curl -X POST HOST/api/chat/completion/stream \\
-H "X-API-Key: KEY" \\
-H "Content-Type: application/json" \\
-d '{
"persona": { "persona_id": 1, "version_type": "next" }
"message" : "Tell me something"
}'
"""
"""Without a comma between the two, as the API's own guide has it."""


@pytest.mark.parametrize(
    ("command", "read", "is_right"),
    [
        (COMPLETION, in_json, lambda reply: reply["object"] == "chat.completion"),
        (SESSION, in_json, lambda chat: chat["title"] == "Coins of Axum"),
        (TENANT_CHAT, in_json, lambda chat: chat["user_id"] == "user456"),
        (CONSULTATION, in_json, lambda reply: isinstance(reply["chat_id"], int)),
        (APP_QUESTION, as_events, lambda events: events[-1]["event"] == "message_end"),
        (TOKEN, in_json, lambda reply: reply["expires_at"] > 1_700_000_000),
        (PERSONA_SESSION, as_events, lambda events: events[-1]["type"] == "done"),
    ],
    ids=["openai", "sessions", "tenant", "consultant", "apps", "token", "persona"],
)
def test_a_pasted_command_works(
    stack: Stack, command: str, read: Callable[[str], Any], is_right: Callable[[Any], bool]
) -> None:
    command = command.strip().replace("HOST", stack.url).replace("KEY", KEY)
    output = subprocess.check_output(["/bin/sh", "-c", command], text=True, timeout=120)
    assert is_right(read(output)), output
