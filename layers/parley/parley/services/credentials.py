"""Who is calling: API keys issued, found and refused."""

import hashlib
import hmac
from dataclasses import dataclass, replace

from parley.domain.errors import Unauthenticated
from parley.domain.tenants import ApiKey, Caller, KeyKind, Tenant
from parley.ports import Clock, Directory, Ids, Secrets

CACHE_SECONDS = 30.0
"""How long a proven key is trusted unread; revoking takes effect everywhere within this time."""

CACHE_SIZE = 10_000


def digest(pepper: str, key: str) -> str:
    """What is stored and looked up instead of a key: HMAC-SHA-256 in hexadecimal."""
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class _Proven:
    caller: Caller
    until: float


class Credentials:
    """Issues API keys and turns the text of one into the caller it stands for."""

    def __init__(
        self, directory: Directory, secrets: Secrets, clock: Clock, ids: Ids, pepper_secret: str
    ) -> None:
        self._directory = directory
        self._secrets = secrets
        self._clock = clock
        self._ids = ids
        self._pepper_secret = pepper_secret
        self._proven: dict[str, _Proven] = {}

    async def authenticate(self, key: str | None) -> Caller:
        """The caller this key stands for; nothing is read for one proven in the last 30 seconds.

        Raises:
            Unauthenticated: there is no key, or it is unknown or revoked; never said which.
            StoreUnavailable: the directory or the pepper can't be read.
        """
        if not key:
            raise Unauthenticated(
                "You didn't provide an API key. Send it as `Authorization: Bearer KEY` "
                "or `X-API-Key: KEY`."
            )
        wanted = digest(await self._secrets.get(self._pepper_secret), key)
        proven = self._proven.get(wanted)
        if proven and self._clock.monotonic() < proven.until:
            return proven.caller
        caller = await self._read(wanted)
        if len(self._proven) >= CACHE_SIZE:
            self._proven.clear()
        self._proven[wanted] = _Proven(caller, self._clock.monotonic() + CACHE_SECONDS)
        return caller

    async def issue(self, tenant: Tenant, kind: KeyKind) -> tuple[ApiKey, str]:
        """Make a key of 256 random bits; its text is returned here and can't be read again."""
        text = f"sk_{kind}_{self._ids.secret()}"
        key = ApiKey(
            id=f"key_{self._ids.secret()[:16]}",
            tenant=tenant.id,
            kind=kind,
            digest=digest(await self._secrets.get(self._pepper_secret), text),
            created_at=self._clock.now(),
        )
        await self._directory.put_key(key)
        return key, text

    async def revoke(self, key: ApiKey) -> None:
        """Refuse this key from now on; an instance that has just seen it, within 30 seconds."""
        await self._directory.put_key(replace(key, revoked_at=self._clock.now()))
        self._proven.pop(key.digest, None)

    async def _read(self, wanted: str) -> Caller:
        refused = Unauthenticated("Incorrect API key provided.")
        key = await self._directory.find_key(wanted)
        if key is None or not hmac.compare_digest(key.digest, wanted) or key.revoked_at:
            self._proven.pop(wanted, None)
            raise refused
        tenant = await self._directory.get_tenant(key.tenant)
        if tenant is None:
            raise refused
        return Caller(tenant, key.id, key.kind)
