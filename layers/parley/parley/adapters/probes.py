"""Signs of life that cost nothing to speak of, for the readiness check."""

from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.models.embedded import EmbeddedModel
from parley.domain.errors import ModelUnavailable

EMBEDDED: Final = "embedded"
"""The probe of the model inside the process."""

NOBODY: Final = ""
"""A tenant that can't exist, so that what is read is never there: half a read unit a table."""

SECONDS: Final = 1.5


class StoreProbe:
    """Reads nothing from each table that functions read."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = (tables.directory, tables.conversations, tables.transient)

    @in_thread
    def ask(self) -> None:
        """Read.

        Raises:
            StoreUnavailable: a table can't be read.
        """
        for table in self._tables:
            self._database.get(table, keys.tenant(NOBODY))


def model_probe(
    configured: str | None, *, embedded: EmbeddedModel
) -> Callable[[], Awaitable[None]] | None:
    """What to ask for the model's sign of life.

    Args:
        configured: `embedded`, a URL, or nothing.

    Raises:
        ValueError: it is something else.
    """
    if not configured:
        return None
    if configured == EMBEDDED:
        return _Embedded(embedded).ask
    url = httpx.URL(configured)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the model's probe is neither `embedded` nor an http(s) URL")
    return _Server(url).ask


class _Embedded:
    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model

    async def ask(self) -> None:
        """Look for the library and the file, without loading a thing."""
        self._model.find()


class _Server:
    def __init__(self, url: httpx.URL) -> None:
        self._url = url

    async def ask(self) -> None:
        """Ask without a key: whatever a server answers but a failure of its own, it is there."""
        try:
            async with (
                httpx.AsyncClient(timeout=SECONDS) as client,
                client.stream("GET", self._url) as response,
            ):
                status = response.status_code
        except httpx.HTTPError as error:
            raise ModelUnavailable("The model's server can't be reached.") from error
        if status >= 500:
            raise ModelUnavailable("The model's server fails.")
