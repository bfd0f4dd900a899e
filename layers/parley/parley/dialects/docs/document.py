"""The OpenAPI document, as `make openapi` wrote it from the routes."""

import functools
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("openapi.json")


@functools.lru_cache(maxsize=8)
def document(base: str) -> bytes:
    """The document for clients that reach the API under this path, such as `/prod`, or none."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    served = {**found, "servers": [{"url": base or "/"}]}
    return json.dumps(served, ensure_ascii=False, separators=(",", ":")).encode()
