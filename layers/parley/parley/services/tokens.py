"""Tokens: JSON Web Tokens that speak for one user of a tenant, for an hour."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms
from jwt.utils import base64url_decode, base64url_encode

from parley.domain.errors import Conflict, Forbidden, StoreUnavailable, Unauthenticated
from parley.domain.personas import PersonaRef, VersionType
from parley.domain.tenants import Caller
from parley.ports import Clock, Ids, Secrets
from parley.services.keyring import TOKEN_LIFETIME, Keyring

ALGORITHM = "HS256"
"""The only one: what a token's own header says doesn't choose how it is checked."""

SKEW = timedelta(seconds=10)
"""How much the clocks of two instances may differ before a new token is called not yet valid."""

CLAIMS = ("iss", "sub", "tid", "key", "persona", "iat", "exp", "jti")

_GONE = "The token that this request was answered with has expired. Use a new idempotency key."

REFUSAL = "Incorrect API key provided."
"""What every refused credential is told: never why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says."""

    tenant: str
    key_id: str
    """The API key it was issued with, and dies with."""
    user: str
    persona: PersonaRef


class Tokens:
    """Issues tokens and reads them back."""

    def __init__(
        self, secrets: Secrets, clock: Clock, ids: Ids, *, signing_secret: str, stack: str
    ) -> None:
        """Put the ports in place.

        Args:
            stack: the issuer; a token of another stack is refused even where secrets are shared.
        """
        self._secrets = secrets
        self._clock = clock
        self._ids = ids
        self._signing_secret = signing_secret
        self._stack = stack

    async def issue(self, caller: Caller, user: str, persona: PersonaRef) -> tuple[str, int]:
        """Make a token for a user.

        Returns:
            The token, and when it expires in Unix seconds.

        Raises:
            Forbidden: the caller comes with a token himself.
            StoreUnavailable: the signing key can't be read.
        """
        if caller.persona is not None:
            raise Forbidden("Tokens are issued to API keys only, and this is a token.")
        ring = await self._keyring()
        now = self._clock.now()
        expires_at = int((now + TOKEN_LIFETIME).timestamp())
        claims = {
            "iss": self._stack,
            "sub": user,
            "tid": caller.tenant.id,
            "key": caller.key_id,
            "persona": {"id": persona.persona_id, "version": persona.version.value},
            "iat": int(now.timestamp()),
            "exp": expires_at,
            "jti": self._ids.secret(),
        }
        kid = ring.signer(now)
        token = jwt.encode(claims, ring.keys[kid].secret, ALGORITHM, headers={"kid": kid})
        return token, expires_at

    def unsigned(self, token: str) -> str:
        """A token without what makes it one: nobody can use this, and `sign_again` completes it."""
        return token.rpartition(".")[0]

    async def sign_again(self, caller: Caller, unsigned: str) -> str:
        """The very token that `unsigned` was made of, perhaps a dead one.

        Raises:
            Conflict: it was issued to another key, or the key that signed it is gone.
            StoreUnavailable: the signing key can't be read.
        """
        ring = await self._keyring()
        try:
            header, claims = (_decoded(part) for part in unsigned.split("."))
            key = ring.keys[header["kid"]]
            is_callers = (claims["iss"], claims["tid"], claims["key"]) == (
                self._stack,
                caller.tenant.id,
                caller.key_id,
            )
        except (LookupError, TypeError, ValueError) as error:
            raise Conflict(_GONE) from error
        if not is_callers:
            raise Conflict(_GONE)
        return f"{unsigned}.{_signature(unsigned, key.secret)}"

    async def read(self, text: str) -> Claims:
        """What a token says, once it is proven genuine and alive.

        Raises:
            Unauthenticated: it isn't; never said why.
            StoreUnavailable: the signing keys can't be read.
        """
        try:
            key = await self._key(jwt.get_unverified_header(text).get("kid"))
            payload = jwt.decode(
                text,
                key,
                algorithms=[ALGORITHM],
                issuer=self._stack,
                # Times are checked below, by the clock that everything else goes by.
                options={
                    "require": list(CLAIMS),
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            self._check_times(payload)
            persona = PersonaRef(
                payload["persona"]["id"], VersionType(payload["persona"]["version"])
            )
            return Claims(payload["tid"], payload["key"], payload["sub"], persona)
        except (jwt.InvalidTokenError, LookupError, TypeError, ValueError) as error:
            raise Unauthenticated(REFUSAL) from error

    async def _key(self, kid: object) -> str:
        """The secret of the key with this id.

        Raises:
            LookupError: there is none, or it was retired so long ago that its tokens are dead.
        """
        ring = await self._keyring()
        key = ring.keys[str(kid)]
        if not key.verifies(self._clock.now()):
            raise LookupError(kid)
        return key.secret

    async def _keyring(self) -> Keyring:
        try:
            return Keyring.parse(await self._secrets.get(self._signing_secret))
        except ValueError as error:
            raise StoreUnavailable(
                "Tokens can't be checked right now. Please try again."
            ) from error

    def _check_times(self, payload: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        begins = max(payload["iat"], payload.get("nbf", 0))
        if not begins - SKEW.total_seconds() <= now < payload["exp"]:
            raise ValueError("The token isn't valid at this time.")


def _decoded(part: str) -> Any:
    return json.loads(base64url_decode(part))


def _signature(unsigned: str, secret: str) -> str:
    algorithm = get_default_algorithms()[ALGORITHM]
    signed = algorithm.sign(unsigned.encode(), algorithm.prepare_key(secret))
    return base64url_encode(signed).decode()
