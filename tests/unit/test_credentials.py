"""API keys: issued once, found in one read, refused without a word too many."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from parley.adapters.memory import MemoryDirectory
from parley.adapters.secrets import MemorySecrets
from parley.adapters.system import RandomIds
from parley.domain.errors import Unauthenticated
from parley.domain.tenants import ApiKey, KeyKind, Tenant
from parley.services import credentials as credentials_module
from parley.services.credentials import CACHE_SECONDS, Credentials, digest
from parley.services.tokens import Tokens
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio

TENANT = Tenant(id="acme", created_at=datetime(2026, 1, 1, tzinfo=UTC))
PEPPER = "pepper"


class CountingDirectory(MemoryDirectory):
    """Counts how often a key is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0

    async def find_key(self, digest: str) -> ApiKey | None:
        self.lookups += 1
        return await super().find_key(digest)


@pytest.fixture
async def directory() -> CountingDirectory:
    directory = CountingDirectory()
    await directory.put_tenant(TENANT)
    return directory


@pytest.fixture
def credentials(directory: CountingDirectory, clock: ManualClock) -> Credentials:
    return credentials_of(directory, clock)


def credentials_of(directory: CountingDirectory, clock: ManualClock) -> Credentials:
    secrets, ids = MemorySecrets({"pepper": PEPPER, "signing": "s" * 64}), RandomIds()
    tokens = Tokens(secrets, clock, ids, signing_secret="signing", stack="here")
    return Credentials(directory, secrets, tokens, clock, ids, pepper_secret="pepper")


@pytest.mark.parametrize("kind", list(KeyKind))
async def test_an_issued_key_stands_for_its_tenant(credentials: Credentials, kind: KeyKind) -> None:
    key, text = await credentials.issue(TENANT, kind)
    caller = await credentials.authenticate(text)
    assert (caller.tenant, caller.key_id, caller.kind) == (TENANT, key.id, kind)
    assert caller.user is None


async def test_a_keys_text_shows_its_kind_and_has_256_random_bits(credentials: Credentials) -> None:
    _, first = await credentials.issue(TENANT, KeyKind.PRODUCTION)
    _, second = await credentials.issue(TENANT, KeyKind.TEST)
    assert first.startswith("sk_prod_")
    assert second.startswith("sk_test_")
    assert len(first.removeprefix("sk_prod_")) == 43  # 256 bits in base64
    assert first[8:] != second[8:]


async def test_the_text_of_a_key_is_not_stored(
    credentials: Credentials, directory: CountingDirectory
) -> None:
    key, text = await credentials.issue(TENANT, KeyKind.TEST)
    stored = await directory.find_key(digest(PEPPER, text))
    assert stored == key
    assert text not in repr(stored)
    assert text.removeprefix("sk_test_") not in repr(stored)


async def test_without_the_pepper_a_digest_cannot_be_made() -> None:
    assert digest("pepper", "sk_test_demo") != digest("other", "sk_test_demo")


@pytest.mark.parametrize("text", [None, "", "sk_test_wrong", "x" * 10_000, "\N{GRINNING FACE}"])
async def test_what_is_no_key_is_refused(credentials: Credentials, text: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await credentials.authenticate(text)


async def test_a_revoked_key_reads_like_one_that_never_was(credentials: Credentials) -> None:
    key, text = await credentials.issue(TENANT, KeyKind.TEST)
    await credentials.revoke(key)
    with pytest.raises(Unauthenticated) as revoked:
        await credentials.authenticate(text)
    with pytest.raises(Unauthenticated) as unknown:
        await credentials.authenticate("sk_test_unknown")
    assert str(revoked.value) == str(unknown.value)


async def test_a_key_is_found_in_one_read_and_then_trusted_for_half_a_minute(
    credentials: Credentials, directory: CountingDirectory, clock: ManualClock
) -> None:
    _, text = await credentials.issue(TENANT, KeyKind.TEST)
    await credentials.authenticate(text)
    await credentials.authenticate(text)
    assert directory.lookups == 1
    clock.advance(CACHE_SECONDS)
    await credentials.authenticate(text)
    assert directory.lookups == 2


async def test_a_key_revoked_elsewhere_is_refused_within_half_a_minute(
    credentials: Credentials, directory: CountingDirectory, clock: ManualClock
) -> None:
    key, text = await credentials.issue(TENANT, KeyKind.TEST)
    await credentials.authenticate(text)
    await credentials_of(directory, clock).revoke(key)
    clock.advance(CACHE_SECONDS)
    with pytest.raises(Unauthenticated):
        await credentials.authenticate(text)


# What a stranger can learn ------------------------------------------------------------------------


class Effort:
    """What it takes to answer: calls of the directory and digests made, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        self._note(monkeypatch, MemoryDirectory, "find_key", "get_key", "get_tenant")
        made = credentials_module.digest

        def digested(pepper: str, key: str) -> str:
            self.steps.append("digest")
            return made(pepper, key)

        monkeypatch.setattr(credentials_module, "digest", digested)

    def _note(self, monkeypatch: pytest.MonkeyPatch, owner: type, *names: str) -> None:
        for name in names:
            monkeypatch.setattr(owner, name, self._noting(name, getattr(owner, name)))

    def _noting(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(*given: Any) -> Any:
            self.steps.append(name)
            return await do(*given)

        return noted

    async def of(self, credentials: Credentials, text: str) -> tuple[list[str], str]:
        """The steps that it takes to refuse a credential, and the words."""
        self.steps.clear()
        with pytest.raises(Unauthenticated) as refused:
            await credentials.authenticate(text)
        return self.steps.copy(), str(refused.value)


async def test_what_is_close_to_a_key_is_refused_with_the_effort_for_what_is_not(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps and words, so there is no time to measure: no character is compared alone."""
    _, text = await credentials.issue(TENANT, KeyKind.TEST)
    effort = Effort(monkeypatch)
    nothing_like_it = await effort.of(credentials, "sk_test_" + "x" * 43)
    assert nothing_like_it[0] == ["digest", "find_key"]
    close = [text[:-1], text + "x", text[:-1] + "!", text.upper(), text.replace("test", "prod")]
    for guess in close:
        assert await effort.of(credentials, guess) == nothing_like_it


async def test_a_revoked_key_takes_the_effort_of_one_that_never_was(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody can tell whether a key that was found somewhere was ever one."""
    key, text = await credentials.issue(TENANT, KeyKind.TEST)
    await credentials.revoke(key)
    effort = Effort(monkeypatch)
    assert await effort.of(credentials, text) == await effort.of(credentials, "sk_test_never")


async def test_digests_are_compared_in_constant_time(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    key, text = await credentials.issue(TENANT, KeyKind.TEST)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    await credentials.authenticate(text)
    assert compared == [(key.digest, key.digest)]
