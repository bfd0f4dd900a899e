"""Several operators at one key: nobody undoes what another has done, least of all a revocation."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from parley.adapters.memory import MemoryDirectory
from parley.adapters.secrets import MemorySecrets
from parley.adapters.system import RandomIds
from parley.domain.errors import Conflict, InvalidRequest
from parley.domain.tenants import ApiKey, KeyKind, Tenant
from parley.services.administration.keys import Keys
from parley.services.administration.tenants import Tenants
from parley.services.credentials import Credentials
from parley.services.tokens import Tokens
from tests.support.clock import ManualClock
from tests.support.stores import NothingToErase

pytestmark = pytest.mark.anyio

TENANT = Tenant(id="acme", created_at=datetime(2026, 1, 1, tzinfo=UTC))
DAY = timedelta(days=1)

Change = Callable[[Keys, ApiKey], Awaitable[Any]]


class SharedDirectory(MemoryDirectory):
    """Lets somebody else do something once, between one's reading a key and one's changing it."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], Awaitable[Any]]] = []

    async def change_key(self, key: ApiKey, *, successor: ApiKey | None = None) -> None:
        if self.meanwhile:
            await self.meanwhile.pop()()
        await super().change_key(key, successor=successor)


@pytest.fixture
async def directory() -> SharedDirectory:
    directory = SharedDirectory()
    await directory.put_tenant(TENANT)
    return directory


@pytest.fixture
def keys(directory: SharedDirectory, clock: ManualClock) -> Keys:
    secrets, ids = MemorySecrets({"pepper": "pepper", "signing": "s" * 64}), RandomIds()
    tokens = Tokens(secrets, clock, ids, signing_secret="signing", stack="here")
    credentials = Credentials(directory, secrets, tokens, clock, ids, pepper_secret="pepper")
    return Keys(Tenants(directory, NothingToErase(), clock), directory, credentials, clock)


@pytest.fixture
async def key(keys: Keys) -> ApiKey:
    key, _ = await keys.create("acme", KeyKind.TEST)
    return key


async def revoke(keys: Keys, key: ApiKey) -> ApiKey:
    return await keys.revoke("acme", key.id)


async def limit(keys: Keys, key: ApiKey) -> ApiKey:
    return await keys.set_limits("acme", key.id, {"concurrent_turns": 1})


async def rotate(keys: Keys, key: ApiKey) -> ApiKey:
    _, _, old = await keys.rotate("acme", key.id, overlap=DAY)
    return old


async def test_a_key_that_is_revoked_while_it_is_limited_stays_revoked(
    keys: Keys, directory: SharedDirectory, key: ApiKey
) -> None:
    directory.meanwhile.append(lambda: revoke(keys, key))
    limited = await limit(keys, key)
    assert limited.revoked_at is not None
    assert limited.limits.concurrent_turns == 1
    assert await keys.get("acme", key.id) == limited


async def test_a_key_that_is_revoked_while_it_is_rotated_has_no_successor(
    keys: Keys, directory: SharedDirectory, key: ApiKey
) -> None:
    directory.meanwhile.append(lambda: revoke(keys, key))
    with pytest.raises(Conflict, match="refused already"):
        await rotate(keys, key)
    [only] = await keys.list("acme")
    assert only.revoked_at is not None


@pytest.mark.parametrize("other", [limit, rotate])
async def test_a_key_is_revoked_whatever_is_changed_meanwhile(
    keys: Keys, directory: SharedDirectory, key: ApiKey, other: Change
) -> None:
    directory.meanwhile.append(lambda: other(keys, key))
    await revoke(keys, key)
    revoked = await keys.get("acme", key.id)
    assert revoked.revoked_at is not None
    assert (revoked.limits.concurrent_turns == 1) == (other is limit)


async def test_a_key_has_one_successor_that_lives_as_long_as_it_was_to(
    keys: Keys, directory: SharedDirectory, key: ApiKey
) -> None:
    directory.meanwhile.append(lambda: rotate(keys, key))
    with pytest.raises(Conflict, match="replaced by"):
        await rotate(keys, key)
    old, new = sorted(await keys.list("acme"), key=lambda each: each.id != key.id)
    assert (old.replaced_by, old.expires_at is None) == (new.id, False)
    assert (new.replaced_by, new.expires_at) == (None, None)


async def test_no_key_of_a_tenant_that_is_being_removed_has_a_successor(
    keys: Keys, directory: SharedDirectory, key: ApiKey
) -> None:
    await directory.put_tenant(replace(TENANT, deleted_at=TENANT.created_at))
    with pytest.raises(Conflict, match="being removed"):
        await rotate(keys, key)


@pytest.mark.parametrize(
    "late",
    [datetime(3000, 1, 1, tzinfo=UTC), datetime.fromisoformat("9999-12-31T23:59:59-14:00")],
)
async def test_a_key_does_not_expire_when_times_end(keys: Keys, late: datetime) -> None:
    with pytest.raises(InvalidRequest, match="or never"):
        await keys.create("acme", KeyKind.TEST, expires_at=late)
    last, _ = await keys.create("acme", KeyKind.TEST, expires_at=datetime(2999, 12, 31, tzinfo=UTC))
    assert (await rotate(keys, last)).replaced_by is not None
