"""An embedder for tests: texts are near each other where they share words."""

import hashlib
import re
from collections.abc import Sequence

from parley.ports import Vector

DIMENSIONS = 512


class HashingEmbedder:
    """Counts words, each in a component that its digest names; knows no meaning and no language."""

    name = "hashing-1"
    leeway = 0.0

    async def query(self, text: str) -> Vector:
        """The vector of what somebody asks."""
        return _vector(text)

    async def queries(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of many questions."""
        return [_vector(text) for text in texts]

    async def passages(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of descriptions."""
        return [_vector(text) for text in texts]


def _vector(text: str) -> Vector:
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4]) % DIMENSIONS] += 1.0
    return vector
