"""What to say to the scripted model, and tools that it may call."""

import json
from collections.abc import Mapping
from typing import Any

MODEL = "any"

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture."""

WEATHER: Mapping[str, Any] = {
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}
"""A function as OpenAI's API describes it."""


def script(*steps: Mapping[str, Any]) -> str:
    """A message to which the scripted model replies by doing these steps."""
    return "script:" + json.dumps(steps)


def calls_weather(*places: str) -> str:
    """A message to which it replies by asking for the weather at each of these places, at once."""
    return script(*({"call": "weather", "arguments": {"place": place}} for place in places))


ECHO = script({"echo": "request"})
"""A message to which it replies with all that reached it, as JSON."""
