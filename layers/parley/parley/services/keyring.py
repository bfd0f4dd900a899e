"""The keys that tokens are signed with: one that signs, and those that did until lately."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

TOKEN_LIFETIME = timedelta(hours=1)

SPREAD = timedelta(minutes=10)
"""How long a new key only verifies: until every instance, which reads the secret anew every five
minutes, knows it. So no instance meets a genuine token whose key it has never heard of."""

GRACE = timedelta(minutes=15)
"""How long after its retirement a key may still have signed: while the next one spreads, and as
long as a rotation's own steps take."""

FIRST = "0"
"""The id of the key in a secret that was never rotated: a random text and nothing else."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as the secret holds it."""

    secret: str
    created_at: datetime | None = None
    retired_at: datetime | None = None
    """When another key took its place."""

    def is_known(self, at: datetime) -> bool:
        """Whether it was made so long ago that every instance has read of it."""
        return self.created_at is None or at >= self.created_at + SPREAD

    def verifies(self, at: datetime) -> bool:
        """Whether a token that it signed may still be alive; a later one is forged."""
        return self.retired_at is None or at < self.retired_at + TOKEN_LIFETIME + GRACE


@dataclass(frozen=True, slots=True)
class Keyring:
    """What the signing secret holds: keys by their ids, and which of them is the newest.

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

    def signer(self, at: datetime) -> str:
        """The id of the key that signs at this moment: the newest that all instances know."""
        by_age = sorted(
            self.keys, key=lambda kid: self.keys[kid].created_at or datetime.min.replace(tzinfo=UTC)
        )
        known = [kid for kid in by_age if self.keys[kid].is_known(at)]
        return known[-1] if known else by_age[0]

    def rotated(self, kid: str, secret: str, at: datetime) -> Self:
        """The ring with a new key, and without those whose tokens are dead."""
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
