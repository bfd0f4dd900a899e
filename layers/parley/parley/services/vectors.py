"""Vectors of meaning, packed for keeping and unpacked for comparing.

A component becomes one signed byte in proportion to the vector's largest, so that 384 components
take 384 bytes. Only the direction of a vector means something, and that survives: no ranking of the
labelled questions in the tests changes by it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parley.ports import Vector

Matrix = NDArray[np.float32]
"""Vectors of length one, a row each."""

_LARGEST = 127


def pack(vectors: Sequence[Vector]) -> bytes:
    """Vectors as signed bytes, one after the other."""
    matrix = np.asarray(vectors, dtype=np.float32)
    if not matrix.size:
        return b""
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    scaled = matrix * (_LARGEST / np.maximum(largest, np.finfo(np.float32).tiny))
    packed: bytes = np.rint(scaled).astype(np.int8).tobytes()
    return packed


def unpack(packed: bytes, count: int) -> Matrix:
    """The directions of `count` packed vectors."""
    if not count:
        return np.zeros((0, 0), dtype=np.float32)
    return directions(np.frombuffer(packed, dtype=np.int8).reshape(count, -1).astype(np.float32))


def directions(vectors: Sequence[Vector] | Matrix) -> Matrix:
    """Vectors scaled to length one; one of zeros stays as it is."""
    matrix = np.asarray(vectors, dtype=np.float32)
    lengths = np.sqrt(np.square(matrix).sum(axis=1, keepdims=True))
    scaled: Matrix = matrix / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled
