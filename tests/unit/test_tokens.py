"""Tokens: alive for an hour, for one user, as long as their key is; forged in no way."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from parley.adapters.memory import MemoryDirectory
from parley.adapters.system import RandomIds
from parley.domain.errors import Forbidden, StoreUnavailable, Unauthenticated
from parley.domain.personas import PersonaRef, VersionType
from parley.domain.tenants import ApiKey, Caller, KeyKind, Tenant
from parley.services.credentials import CACHE_SECONDS, Credentials
from parley.services.keyring import GRACE, SPREAD, TOKEN_LIFETIME, Keyring, SigningKey
from parley.services.tokens import Tokens
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio

TENANT = Tenant(id="acme", created_at=datetime(2026, 1, 1, tzinfo=UTC))
OTHER_TENANT = Tenant(id="globex", created_at=datetime(2026, 1, 1, tzinfo=UTC))
PERSONA = PersonaRef(47, VersionType.NEXT)
STACK = "parley-test"
SECRET = "s" * 64
LIFETIME = TOKEN_LIFETIME.total_seconds()


@dataclass
class CachedSecrets:
    """Secrets that change under a cache, as another instance sees them."""

    signing: str
    cached: dict[str, str] = field(default_factory=dict)

    async def get(self, name: str) -> str:
        if name not in self.cached:
            self.cached[name] = {"signing": self.signing, "pepper": "pepper"}[name]
        return self.cached[name]


@dataclass
class House:
    """A deployment with two tenants and a key of the first one's."""

    clock: ManualClock
    directory: MemoryDirectory
    secrets: CachedSecrets
    tokens: Tokens
    credentials: Credentials
    key: ApiKey
    key_text: str

    async def token(self, user: str = "ada") -> str:
        caller = await self.credentials.authenticate(self.key_text)
        token, _ = await self.tokens.issue(caller, user, PERSONA)
        return token

    async def admits(self, token: str) -> bool:
        try:
            await self.credentials.authenticate(token)
        except Unauthenticated:
            return False
        return True

    def forged(
        self,
        *,
        secret: str = SECRET,
        algorithm: str = "HS256",
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token as the house itself would make it, but for what is named."""
        now = int(self.clock.now().timestamp())
        genuine = {
            "iss": STACK,
            "sub": "ada",
            "tid": TENANT.id,
            "key": self.key.id,
            "persona": {"id": 47, "version": "next"},
            "iat": now,
            "exp": now + 3600,
            "jti": "1",
        }
        payload = {name: value for name, value in (genuine | claims).items() if value is not None}
        return jwt.encode(
            payload, secret, algorithm, headers={"kid": "0"} if header is None else dict(header)
        )


@pytest.fixture
async def house(clock: ManualClock) -> House:
    directory, secrets, ids = MemoryDirectory(), CachedSecrets(SECRET), RandomIds()
    await directory.put_tenant(TENANT)
    await directory.put_tenant(OTHER_TENANT)
    tokens = Tokens(secrets, clock, ids, signing_secret="signing", stack=STACK)
    credentials = Credentials(directory, secrets, tokens, clock, ids, pepper_secret="pepper")
    key, text = await credentials.issue(TENANT, KeyKind.TEST, default_persona="guide")
    return House(clock, directory, secrets, tokens, credentials, key, text)


async def test_a_token_stands_for_its_user_key_and_persona(house: House) -> None:
    caller = await house.credentials.authenticate(await house.token("ada"))
    assert caller == Caller(TENANT, house.key.id, KeyKind.TEST, user="ada", persona=PERSONA)
    assert caller.scope.user == "ada"


async def test_a_token_tells_when_it_expires_and_works_until_then(house: House) -> None:
    caller = await house.credentials.authenticate(house.key_text)
    token, expires_at = await house.tokens.issue(caller, "ada", PERSONA)
    assert expires_at == house.clock.now().timestamp() + LIFETIME
    house.clock.advance(LIFETIME - 1)
    assert await house.admits(token)
    house.clock.advance(1)
    assert not await house.admits(token)


async def test_a_token_says_who_when_and_with_which_key_and_nothing_secret(house: House) -> None:
    token = await house.token()
    payload = jwt.decode(token, options={"verify_signature": False})
    assert set(payload) == {"iss", "sub", "tid", "key", "persona", "iat", "exp", "jti"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "0"}
    assert house.key_text not in json.dumps(payload)


async def test_no_two_tokens_are_the_same(house: House) -> None:
    assert await house.token() != await house.token()


async def test_a_token_is_not_traded_for_another(house: House) -> None:
    caller = await house.credentials.authenticate(await house.token())
    with pytest.raises(Forbidden):
        await house.tokens.issue(caller, "ada", PERSONA)


async def test_a_token_made_as_the_house_makes_them_is_genuine(house: House) -> None:
    """Without this, the table of forgeries below would prove nothing."""
    assert await house.admits(house.forged())


def swapped(token: str, index: int, part: str) -> str:
    parts = token.split(".")
    parts[index] = part
    return ".".join(parts)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


ANOTHER_SECRET = "t" * 64

FORGERIES: Mapping[str, Callable[[House], str]] = {
    "expired": lambda house: house.forged(exp=int(house.clock.now().timestamp())),
    "not valid yet": lambda house: house.forged(nbf=int(house.clock.now().timestamp()) + 60),
    "issued in the future": lambda house: house.forged(iat=int(house.clock.now().timestamp()) + 60),
    "payload exchanged": lambda house: swapped(
        house.forged(), 1, house.forged(sub="eve").split(".")[1]
    ),
    "signature exchanged": lambda house: swapped(
        house.forged(), 2, house.forged(secret=ANOTHER_SECRET).split(".")[2]
    ),
    "signature cut": lambda house: house.forged()[:-2],
    "signature missing": lambda house: swapped(house.forged(), 2, ""),
    "alg none": lambda house: swapped(
        swapped(house.forged(), 0, encoded({"alg": "none", "typ": "JWT", "kid": "0"})), 2, ""
    ),
    "alg none, signature kept": lambda house: swapped(
        house.forged(), 0, encoded({"alg": "none", "typ": "JWT", "kid": "0"})
    ),
    "alg HS512": lambda house: house.forged(algorithm="HS512"),
    "alg HS384": lambda house: house.forged(algorithm="HS384"),
    "alg missing": lambda house: swapped(house.forged(), 0, encoded({"kid": "0"})),
    "another stack's secret": lambda house: house.forged(secret=ANOTHER_SECRET),
    "another issuer": lambda house: house.forged(iss="parley-prod"),
    "no issuer": lambda house: house.forged(iss=None),
    "alg RS256": lambda house: swapped(
        house.forged(), 0, encoded({"alg": "RS256", "typ": "JWT", "kid": "0"})
    ),
    "alg in small letters": lambda house: swapped(
        house.forged(), 0, encoded({"alg": "hs256", "kid": "0"})
    ),
    "a key of its own": lambda house: house.forged(
        secret=ANOTHER_SECRET,
        header={"kid": "0", "jwk": {"kty": "oct", "k": encoded(ANOTHER_SECRET)}},
    ),
    "a key from elsewhere": lambda house: house.forged(
        secret=ANOTHER_SECRET, header={"kid": "0", "jku": "https://evil.example/keys"}
    ),
    "an extension that must be understood": lambda house: house.forged(
        header={"kid": "0", "crit": ["exp"]}
    ),
    "kid that is a path": lambda house: house.forged(
        secret=ANOTHER_SECRET, header={"kid": "../../dev/null"}
    ),
    "kid that is a query": lambda house: house.forged(header={"kid": "0' OR '1'='1"}),
    "a header too deep to read": lambda house: swapped(
        house.forged(), 0, base64.urlsafe_b64encode(b"[" * 300_000).decode()
    ),
    "unknown kid": lambda house: house.forged(header={"kid": "1"}),
    "no kid": lambda house: house.forged(header={}),
    "kid of another type": lambda house: swapped(
        house.forged(), 0, encoded({"alg": "HS256", "kid": ["0"]})
    ),
    "another tenant's": lambda house: house.forged(tid=OTHER_TENANT.id),
    "unknown tenant": lambda house: house.forged(tid="initech"),
    "unknown key": lambda house: house.forged(key="key_unknown"),
    "no expiry": lambda house: house.forged(exp=None),
    "no user": lambda house: house.forged(sub=None),
    "no persona": lambda house: house.forged(persona=None),
    "a persona in no known version": lambda house: house.forged(
        persona={"id": 47, "version": "old"}
    ),
    "no object for a payload": lambda house: swapped(house.forged(), 1, encoded([1])),
    "no base64": lambda house: swapped(house.forged(), 1, "*"),
    "nothing at all": lambda _: "..",
    "text beyond ASCII": lambda _: "ሰላም.ሰላም.ሰላም",
    "a very long one": lambda house: swapped(house.forged(), 1, "A" * 1_000_000),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forgery_is_refused_in_the_words_for_an_unknown_key(
    house: House, name: str
) -> None:
    with pytest.raises(Unauthenticated) as forged:
        await house.credentials.authenticate(FORGERIES[name](house))
    with pytest.raises(Unauthenticated) as unknown:
        await house.credentials.authenticate("sk_test_unknown")
    assert (forged.value.message, forged.value.code) == (unknown.value.message, unknown.value.code)


async def test_a_clock_that_is_seconds_behind_does_not_refuse_a_new_token(house: House) -> None:
    assert await house.admits(house.forged(iat=int(house.clock.now().timestamp()) + 5))


async def test_a_token_dies_with_the_key_it_was_issued_with(house: House) -> None:
    token = await house.token()
    assert await house.admits(token)
    await house.credentials.revoke(house.key)
    assert not await house.admits(token)


async def test_a_token_whose_key_was_revoked_elsewhere_dies_within_half_a_minute(
    house: House,
) -> None:
    token = await house.token()
    assert await house.admits(token)
    await house.directory.put_key(replace(house.key, revoked_at=house.clock.now()))
    house.clock.advance(CACHE_SECONDS)
    assert not await house.admits(token)


async def test_a_token_dies_with_its_tenant(house: House, clock: ManualClock) -> None:
    token = await house.token()
    directory = MemoryDirectory()
    await directory.put_key(house.key)
    ids = RandomIds()
    elsewhere = Credentials(
        directory, house.secrets, house.tokens, clock, ids, pepper_secret="pepper"
    )
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(token)


# Rotation ----------------------------------------------------------------------------------------


def rotate(house: House, kid: str) -> None:
    ring = Keyring.parse(house.secrets.signing)
    house.secrets.signing = str(ring.rotated(kid, kid * 64, house.clock.now()))
    house.secrets.cached.clear()


def kid(token: str) -> Any:
    return jwt.get_unverified_header(token)["kid"]


async def test_a_token_signed_before_a_rotation_lives_until_it_expires(house: House) -> None:
    rotate(house, "1")
    house.clock.advance(SPREAD.total_seconds() - 1)
    old = await house.token()
    house.clock.advance(1)
    new = await house.token()
    assert [kid(old), kid(new)] == ["0", "1"]
    house.clock.advance(LIFETIME - 2)
    assert await house.admits(old)
    assert await house.admits(new)


async def test_an_instance_signs_only_with_keys_that_every_other_has_read(house: House) -> None:
    """One may have read the secret just before the rotation, and won't again for five minutes."""
    late = Keyring.parse(house.secrets.signing)
    rotate(house, "1")
    assert kid(await house.token()) in late.keys
    house.clock.advance(60)
    rotate(house, "2")
    assert kid(await house.token()) in late.keys
    house.clock.advance(SPREAD.total_seconds() - 60)
    assert kid(await house.token()) == "1"
    house.clock.advance(60)
    assert kid(await house.token()) == "2"


async def test_a_ring_of_one_new_key_signs_with_it(house: House) -> None:
    ring = Keyring("9", {"9": SigningKey("9" * 64, house.clock.now())})
    house.secrets.signing = str(ring)
    house.secrets.cached.clear()
    assert kid(await house.token()) == "9"


async def test_a_retired_key_signs_nothing_that_is_admitted_later(house: House) -> None:
    """Whoever learns an old key may forge any time of issue, so the key itself has an end."""
    rotate(house, "1")
    house.clock.advance(LIFETIME + GRACE.total_seconds() - 1)
    assert await house.admits(house.forged())
    house.clock.advance(1)
    assert not await house.admits(house.forged())
    assert await house.admits(house.forged(secret="1" * 64, header={"kid": "1"}))


@pytest.mark.parametrize(
    "text", ["{}", '{"current": "1", "keys": {}}', '{"keys": [], "current": 0}']
)
async def test_a_broken_secret_is_an_outage_and_no_verdict_on_tokens(
    house: House, text: str
) -> None:
    token = await house.token()
    house.secrets.signing = text
    house.secrets.cached.clear()
    with pytest.raises(StoreUnavailable):
        await house.credentials.authenticate(token)


def test_a_ring_is_read_as_it_was_written(clock: ManualClock) -> None:
    ring = Keyring.parse("a random text").rotated("1", "new", clock.now())
    assert Keyring.parse(str(ring)) == ring
    assert ring.keys["0"].secret == "a random text"
    assert ring.current == "1"


def test_a_rotation_drops_the_keys_whose_tokens_are_dead(clock: ManualClock) -> None:
    ring = Keyring.parse("first").rotated("1", "second", clock.now())
    clock.advance(LIFETIME + GRACE.total_seconds())
    assert set(ring.rotated("2", "third", clock.now()).keys) == {"1", "2"}


def test_two_rotations_at_short_notice_keep_every_key_that_may_have_signed(
    clock: ManualClock,
) -> None:
    ring = Keyring.parse("first").rotated("1", "second", clock.now())
    clock.advance(60)
    assert set(ring.rotated("2", "third", clock.now()).keys) == {"0", "1", "2"}
