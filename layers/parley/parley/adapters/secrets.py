"""Secrets from AWS Secrets Manager, and from memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.aws import in_thread, tell
from parley.domain.errors import StoreUnavailable
from parley.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHED_SECONDS = 300
"""How long a change of a secret may go unnoticed."""


class SecretsManager:
    """`Secrets` read from AWS Secrets Manager, each about once in five minutes."""

    def __init__(self, client: "SecretsManagerClient", clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._cache: dict[str, tuple[float, str]] = {}

    async def get(self, name: str) -> str:
        """The current text of the secret with this name or ARN.

        Raises:
            StoreUnavailable: it can't be read, doesn't exist or isn't text.
        """
        now = self._clock.monotonic()
        cached = self._cache.get(name)
        if cached is None or now - cached[0] >= CACHED_SECONDS:
            cached = (now, await self._read(name))
            self._cache[name] = cached
        return cached[1]

    async def put(self, name: str, text: str) -> None:
        """Create or replace the secret with this name.

        Raises:
            StoreUnavailable: it can't be written.
        """
        await self._write(name, text)
        self._cache.pop(name, None)

    @in_thread
    def _write(self, name: str, text: str) -> None:
        try:
            try:
                self._client.put_secret_value(SecretId=name, SecretString=text)
            except self._client.exceptions.ResourceNotFoundException:
                self._client.create_secret(Name=name, SecretString=text)
        except (ClientError, BotoCoreError) as error:
            tell(error)
            raise StoreUnavailable("The secret can't be kept right now.") from error

    @in_thread
    def _read(self, name: str) -> str:
        try:
            return self._client.get_secret_value(SecretId=name)["SecretString"]
        except (ClientError, BotoCoreError) as error:
            tell(error)
            raise _unreadable() from error
        except KeyError as error:  # it holds no text
            raise _unreadable() from error


class MemorySecrets:
    """`Secrets` from a mapping; for tests."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)

    async def put(self, name: str, text: str) -> None:
        """Create or replace the secret with this name."""
        self._secrets[name] = text

    async def get(self, name: str) -> str:
        """The text of the secret with this name.

        Raises:
            StoreUnavailable: there is none.
        """
        try:
            return self._secrets[name]
        except KeyError as error:
            raise _unreadable() from error


def _unreadable() -> StoreUnavailable:
    return StoreUnavailable("A secret of this service can't be read right now. Please try again.")
