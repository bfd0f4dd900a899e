"""A tenant's API keys: issued, listed, rotated and revoked."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from parley.domain.errors import Conflict, InvalidRequest, NotFound
from parley.domain.tenants import SCOPES, ApiKey, KeyKind
from parley.ports import Clock, Directory
from parley.services.administration.changes import Value, limits_changed
from parley.services.administration.tenants import Tenants
from parley.services.credentials import Credentials

LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""By when every key that expires has expired; a successor's end is to be a time, too."""


class Keys:
    """What an operator does with keys; a key's text is told once, when the key is made."""

    def __init__(
        self, tenants: Tenants, directory: Directory, credentials: Credentials, clock: Clock
    ) -> None:
        self._tenants = tenants
        self._directory = directory
        self._credentials = credentials
        self._clock = clock

    async def create(
        self,
        tenant_id: str,
        kind: KeyKind,
        *,
        scopes: frozenset[str] | None = None,
        default_persona: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; its text, the second of the two, can't be read again.

        Args:
            scopes: those of `SCOPES` it is for; None is all.
            default_persona: the alias of the persona that answers where a request names none.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: there is no such scope, or it would be expired from the beginning.
            Conflict: the tenant is being removed.
        """
        if scopes is not None and not scopes:
            raise InvalidRequest("A key is for one API at least.", param="scopes")
        for scope in sorted((scopes or frozenset()) - set(SCOPES)):
            raise InvalidRequest(
                f"There is no scope {scope}; there are {', '.join(SCOPES)}.", param="scopes"
            )
        self._check_time(expires_at)
        tenant = await self._tenants.get_staying(tenant_id)
        return await self._credentials.issue(
            tenant,
            kind,
            default_persona=default_persona,
            expires_at=expires_at,
            scopes=scopes,
        )

    async def list(self, tenant_id: str) -> tuple[ApiKey, ...]:
        """A tenant's keys by time of creation, those that are refused by now included.

        Raises:
            NotFound: there is no such tenant.
        """
        await self._tenants.get(tenant_id)
        return await self._directory.list_keys(tenant_id)

    async def get(self, tenant_id: str, key_id: str) -> ApiKey:
        """One of a tenant's keys.

        Raises:
            NotFound: it has none of this id.
        """
        key = await self._directory.get_key(tenant_id, key_id)
        if key is None:
            raise NotFound(f"The tenant {tenant_id} has no key {key_id}.", param="key")
        return key

    async def rotate(
        self,
        tenant_id: str,
        key_id: str,
        *,
        overlap: timedelta,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str, ApiKey]:
        """Make a key that is for all that another is for, which expires after an overlap.

        Both happen, or neither does.

        Args:
            overlap: for how long the other may still be used.
            expires_at: when the new one expires; None gives it as long a life as the other was
                given, which may be an endless one.

        Returns:
            The new key, its text, and the other as it is then.

        Raises:
            NotFound: the tenant has no such key.
            Conflict: it is refused already, so nobody waits for another in its place; or there is
                one already, and how long this one was to live isn't known any more; or the tenant
                is being removed.
        """
        now = self._clock.now()
        if overlap < timedelta(0):
            raise InvalidRequest("The overlap is 0 or more.", param="overlap")
        self._check_time(expires_at)
        await self._tenants.get_staying(tenant_id)
        while True:
            old = await self.get(tenant_id, key_id)
            if not old.is_valid(now):
                raise Conflict(f"The key {key_id} is refused already; make a new one.", param="key")
            if old.replaced_by is not None:
                raise Conflict(
                    f"The key {key_id} was replaced by {old.replaced_by} already: "
                    "rotate that one, or make a new one.",
                    param="key",
                )
            until = expires_at
            if until is None and old.expires_at is not None:
                until = now + (old.expires_at - old.created_at)
            like = replace(old, expires_at=until, revision=1)
            new, text = await self._credentials.draw(like)
            ends = min(old.expires_at or now + overlap, now + overlap)
            old = replace(old, expires_at=ends, replaced_by=new.id, revision=old.revision + 1)
            try:
                await self._directory.change_key(old, successor=new)
            except Conflict:
                continue
            return new, text, old

    async def set_limits(self, tenant_id: str, key_id: str, changes: Mapping[str, Value]) -> ApiKey:
        """Change some of a key's own limits by name; None lifts one.

        Raises:
            NotFound: the tenant has no such key.
            InvalidRequest: there is no limit of a name, or it can't be of that value.
        """
        while True:
            key = await self.get(tenant_id, key_id)
            limits = limits_changed(key.limits, changes)
            if limits == key.limits:
                return key
            changed = replace(key, limits=limits, revision=key.revision + 1)
            try:
                await self._directory.change_key(changed)
            except Conflict:
                continue
            return changed

    async def revoke(self, tenant_id: str, key_id: str) -> ApiKey:
        """Refuse a key, and every token that was issued with it, everywhere in half a minute.

        Raises:
            NotFound: the tenant has no such key.
        """
        key = await self.get(tenant_id, key_id)
        if key.revoked_at is None:
            await self._credentials.revoke(key)
            key = await self.get(tenant_id, key_id)
        return key

    def _check_time(self, expires_at: datetime | None) -> None:
        if expires_at is None:
            return
        if expires_at <= self._clock.now():
            raise InvalidRequest("The key would be expired from the beginning.", param="expires_at")
        if expires_at >= LATEST:
            raise InvalidRequest(
                f"A key expires before the year {LATEST.year}, or never.", param="expires_at"
            )


def status(key: ApiKey, at: datetime) -> str:
    """Whether a key is `active`, `revoked` or `expired` at a moment."""
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_valid(at) else "expired"
