"""Who is calling: API keys issued, found and refused, and the tokens that were made with them."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from parley.domain.errors import Conflict, Unauthenticated
from parley.domain.tenants import ApiKey, Caller, KeyKind, Tenant, TenantSuspended
from parley.ports import Clock, Directory, Ids, Secrets
from parley.services.tokens import REFUSAL, Tokens

CACHE_SECONDS = 30.0
"""How long a proven key is trusted unread; revoking takes effect everywhere within this time."""

CACHE_SIZE = 10_000

SUSPENDED = "This account is suspended. Please ask whoever has given you this API key."
"""What holders of a valid key are told, and nobody else."""


def digest(pepper: str, key: str) -> str:
    """What is stored and looked up instead of a key: HMAC-SHA-256 in hexadecimal."""
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).hexdigest()


_Name = str | tuple[str, str]
"""Of a key among those proven: its digest, or its tenant and id where a token named it."""


@dataclass(frozen=True, slots=True)
class _Proven:
    caller: Caller
    key: ApiKey
    until: float


class Credentials:
    """Issues API keys and turns a credential's text into the caller it stands for."""

    def __init__(
        self,
        directory: Directory,
        secrets: Secrets,
        tokens: Tokens,
        clock: Clock,
        ids: Ids,
        *,
        pepper_secret: str,
    ) -> None:
        self._directory = directory
        self._secrets = secrets
        self._tokens = tokens
        self._clock = clock
        self._ids = ids
        self._pepper_secret = pepper_secret
        self._proven: dict[_Name, _Proven] = {}

    async def authenticate(self, credential: str | None) -> Caller:
        """The caller this API key or token stands for.

        A key that was proven in the last 30 seconds isn't read again, neither for itself nor for a
        token that was issued with it.

        Raises:
            Unauthenticated: there is no credential, or it is unknown, expired, tampered with or
                revoked; never said which.
            TenantSuspended: it is valid, but its tenant is suspended.
            StoreUnavailable: the directory or a secret can't be read.
        """
        if not credential:
            raise Unauthenticated(
                "You didn't provide an API key. Send it as `Authorization: Bearer KEY` "
                "or `X-API-Key: KEY`."
            )
        if credential.count(".") == 2:  # header.payload.signature; no key has a dot
            return await self._by_token(credential)
        wanted = digest(await self._secrets.get(self._pepper_secret), credential)
        return await self._prove(wanted, lambda: self._find(wanted))

    async def issue(
        self,
        tenant: Tenant,
        kind: KeyKind,
        *,
        default_persona: str | None = None,
        expires_at: datetime | None = None,
        scopes: frozenset[str] | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key of 256 random bits; its text is returned here and can't be read again.

        Args:
            default_persona: the alias of the persona that answers where a request names none.
            expires_at: from when on it is refused; None is never.
            scopes: those of `SCOPES` it is for; None is all.
        """
        key, text = await self.draw(
            ApiKey(
                id="",
                tenant=tenant.id,
                kind=kind,
                digest="",
                created_at=self._clock.now(),
                default_persona=default_persona,
                expires_at=expires_at,
                scopes=scopes,
            )
        )
        await self._directory.put_key(key)
        return key, text

    async def draw(self, like: ApiKey) -> tuple[ApiKey, str]:
        """A key that is for what `like` is for, and its text; it isn't kept anywhere yet."""
        text = f"sk_{like.kind}_{self._ids.secret()}"
        key = replace(
            like,
            id=f"key_{self._ids.secret()[:16]}",
            digest=digest(await self._secrets.get(self._pepper_secret), text),
            created_at=self._clock.now(),
        )
        return key, text

    async def revoke(self, key: ApiKey) -> None:
        """Refuse this key from now on; an instance that has just seen it, within 30 seconds."""
        at = self._clock.now()
        present: ApiKey | None = key
        while present is not None and present.revoked_at is None:
            revoked = replace(present, revoked_at=at, revision=present.revision + 1)
            try:
                await self._directory.change_key(revoked)
            except Conflict:  # whatever else was changed stays changed
                present = await self._directory.get_key(key.tenant, key.id)
            else:
                break
        self._proven.pop(key.digest, None)
        self._proven.pop((key.tenant, key.id), None)

    async def _by_token(self, token: str) -> Caller:
        claims = await self._tokens.read(token)
        caller = await self._prove(
            (claims.tenant, claims.key_id),
            lambda: self._directory.get_key(claims.tenant, claims.key_id),
        )
        return replace(caller, user=claims.user, persona=claims.persona, default_persona=None)

    async def _find(self, wanted: str) -> ApiKey | None:
        key = await self._directory.find_key(wanted)
        return key if key and hmac.compare_digest(key.digest, wanted) else None

    async def _prove(self, name: _Name, find: Callable[[], Awaitable[ApiKey | None]]) -> Caller:
        """The caller of a valid key, read by `find` unless it was proven just now."""
        proven = self._proven.get(name)
        if (
            proven
            and self._clock.monotonic() < proven.until
            and proven.key.is_valid(self._clock.now())
        ):
            return proven.caller
        self._proven.pop(name, None)
        key = await find()
        is_valid = key is not None and key.is_valid(self._clock.now())
        tenant = await self._directory.get_tenant(key.tenant) if key and is_valid else None
        if key is None or tenant is None or tenant.deleted_at is not None:
            raise Unauthenticated(REFUSAL)
        if tenant.suspended_at is not None:
            raise TenantSuspended(SUSPENDED)
        caller = Caller(
            tenant,
            key.id,
            key.kind,
            default_persona=key.default_persona,
            scopes=key.scopes,
            limits=key.limits,
        )
        if len(self._proven) >= CACHE_SIZE:
            self._proven.clear()
        self._proven[name] = _Proven(caller, key, self._clock.monotonic() + CACHE_SECONDS)
        return caller
