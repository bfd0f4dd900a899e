"""The keys that tokens are signed with: one that signs, and those that did until lately."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

TOKEN_LIFETIME = timedelta(hours=1)

GRACE = timedelta(minutes=15)
"""How long after its retirement a key may still have signed: instances read the secret anew every
five minutes, and a rotation's own steps take a while."""

FIRST = "0"
"""The id of the key in a secret that was never rotated: a random text and nothing else."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as the secret holds it."""

    secret: str
    created_at: datetime | None = None
    retired_at: datetime | None = None
    """When another key took its place."""

    def verifies(self, at: datetime) -> bool:
        """Whether a token that it signed may still be alive; a later one is forged."""
        return self.retired_at is None or at < self.retired_at + TOKEN_LIFETIME + GRACE


@dataclass(frozen=True, slots=True)
class Keyring:
    """What the signing secret holds.

    As text it is `{"current": id, "keys": {id: {"secret", "created_at", "retired_at"}}}`, or,
    before the first rotation, a random text alone: CloudFormation can make no other.
    """

    current: str
    keys: Mapping[str, SigningKey]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the secret's text.

        Raises:
            ValueError: it is JSON, but not of this form.
        """
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not isinstance(value, dict):
            return cls(FIRST, {FIRST: SigningKey(text)})
        try:
            keys = {kid: _key(entry) for kid, entry in value["keys"].items()}
            ring = cls(value["current"], keys)
            ring.keys[ring.current]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("The signing secret isn't a keyring.") from error
        return ring

    def __str__(self) -> str:
        return json.dumps(
            {
                "current": self.current,
                "keys": {
                    kid: {
                        "secret": key.secret,
                        "created_at": key.created_at and key.created_at.isoformat(),
                        "retired_at": key.retired_at and key.retired_at.isoformat(),
                    }
                    for kid, key in self.keys.items()
                },
            }
        )

    def rotated(self, kid: str, secret: str, at: datetime) -> Self:
        """The ring with a new key that signs from now on, without those whose tokens are dead."""
        retired = replace(self.keys[self.current], retired_at=at)
        kept = {**self.keys, self.current: retired}
        still = {name: key for name, key in kept.items() if key.verifies(at)}
        return replace(self, current=kid, keys={**still, kid: SigningKey(secret, at)})


def _key(entry: Mapping[str, Any]) -> SigningKey:
    created_at, retired_at = entry.get("created_at"), entry.get("retired_at")
    return SigningKey(
        str(entry["secret"]),
        datetime.fromisoformat(created_at) if created_at else None,
        datetime.fromisoformat(retired_at) if retired_at else None,
    )
