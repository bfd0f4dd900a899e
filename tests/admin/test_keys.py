"""Keys are made, listed without their texts, rotated with an overlap and revoked."""

from datetime import UTC, datetime, timedelta

import pytest

from parley.adapters.secrets import MemorySecrets
from parley.adapters.system import RandomIds
from parley.domain.errors import Unauthenticated
from parley.domain.tenants import SCOPES, OutOfScope, TenantSuspended
from parley.services.administration.tenants import SETTLED
from parley.services.credentials import CACHE_SECONDS, Credentials, digest
from parley.services.tokens import Tokens
from tests.admin.conftest import Program
from tests.support.clock import ManualClock
from tests.support.stores import Stores

pytestmark = pytest.mark.anyio

KEYS_WORK_FOR = timedelta(seconds=60)
"""What is promised: how long after its revocation a key may be accepted somewhere."""


def instance(stores: Stores, pepper: str, clock: ManualClock) -> Credentials:
    """What a function's instance knows keys by; it remembers those it has seen."""
    secrets, ids = MemorySecrets({"pepper": pepper, "signing": "s" * 64}), RandomIds()
    tokens = Tokens(secrets, clock, ids, signing_secret="signing", stack="here")
    return Credentials(stores.directory, secrets, tokens, clock, ids, pepper_secret="pepper")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def credentials(stores: Stores, pepper: str, clock: ManualClock) -> Credentials:
    return instance(stores, pepper, clock)


async def test_a_new_key_opens_its_tenant(
    program: Program, tenant: str, credentials: Credentials
) -> None:
    made = await program.away("keys", "create", tenant, "--kind", "prod", "--persona", "guide")
    caller = await credentials.authenticate(made["key"])
    assert made["key"].startswith("sk_prod_")
    assert (caller.tenant.id, caller.key_id, caller.kind) == (tenant, made["id"], "prod")
    assert caller.default_persona == "guide"
    for scope in SCOPES:
        caller.check_scope(scope)


async def test_a_list_of_keys_shows_no_text_and_no_digest(
    program: Program, tenant: str, pepper: str
) -> None:
    made = await program.away("keys", "create", tenant)
    [listed] = await program.away("keys", "list", tenant)
    assert listed["id"] == made["id"]
    for secret in (made["key"], made["key"][8:], digest(pepper, made["key"])):
        assert secret not in str(listed)


async def test_a_key_with_scopes_is_for_nothing_else(
    program: Program, tenant: str, credentials: Credentials
) -> None:
    made = await program.away("keys", "create", tenant, "--scope", "openai", "--scope", "apps")
    caller = await credentials.authenticate(made["key"])
    caller.check_scope("openai")
    caller.check_scope("apps")
    with pytest.raises(OutOfScope):
        caller.check_scope("tenant")


def test_a_scope_that_is_not_there_is_told(program: Program, tenant: str) -> None:
    assert "no scope admin" in program.refused("keys", "create", tenant, "--scope", "admin")


async def test_a_key_expires_to_the_second_even_where_it_was_just_seen(
    program: Program, tenant: str, credentials: Credentials, clock: ManualClock
) -> None:
    made = await program.away("keys", "create", tenant, "--expires-in", "10m")
    left = (datetime.fromisoformat(made["expires_at"]) - clock.now()).total_seconds()
    clock.advance(left - 1)
    await credentials.authenticate(made["key"])
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        await credentials.authenticate(made["key"])


@pytest.mark.parametrize("time", ["soon", "10", "-1h", "h", "1w"])
def test_a_time_that_is_none_is_refused(program: Program, tenant: str, time: str) -> None:
    answer = program.run("keys", "create", tenant, f"--expires-in={time}")
    assert answer.code == 2
    assert "24h" in answer.err


async def test_a_rotated_key_works_beside_the_new_one_until_the_overlap_ends(
    program: Program, tenant: str, credentials: Credentials, clock: ManualClock
) -> None:
    old = await program.away(
        "keys", "create", tenant, "--scope", "apps", "--persona", "guide", "--kind", "prod"
    )
    new = await program.away("keys", "rotate", tenant, old["id"], "--overlap", "2h")
    for same in ("scopes", "default_persona", "kind", "tenant"):
        assert new[same] == old[same]
    assert (new["replaces"], new["expires_at"]) == (old["id"], None)
    assert new["key"] != old["key"]

    clock.advance(2 * 3600 - 60)
    for each in (old, new):
        assert (await credentials.authenticate(each["key"])).key_id == each["id"]
    clock.advance(120)
    await credentials.authenticate(new["key"])
    with pytest.raises(Unauthenticated):
        await credentials.authenticate(old["key"])


async def test_rotating_does_not_lengthen_a_life(program: Program, tenant: str) -> None:
    old = await program.away("keys", "create", tenant, "--expires-in", "1h")
    new = await program.away("keys", "rotate", tenant, old["id"], "--overlap", "24h")
    assert new["replaced_key_expires_at"] == old["expires_at"]
    lives = [
        datetime.fromisoformat(each["expires_at"]) - datetime.fromisoformat(each["created_at"])
        for each in (old, new)
    ]
    assert abs(lives[0] - lives[1]) < timedelta(seconds=1)


async def test_a_key_has_limits_of_its_own_which_its_successor_has_too(
    program: Program, tenant: str, credentials: Credentials
) -> None:
    old = await program.away("keys", "create", tenant)
    limits = await program.away(
        "keys", "limits", tenant, old["id"], "budget=5", "concurrent_turns=2"
    )
    assert (limits["budget"], limits["concurrent_turns"]) == ("5", 2)
    assert limits["requests_per_minute"] is None
    new = await program.away("keys", "rotate", tenant, old["id"])
    assert new["limits"] == limits


async def test_a_revoked_key_is_refused_everywhere_within_a_minute(
    program: Program, tenant: str, stores: Stores, pepper: str, clock: ManualClock
) -> None:
    made = await program.away("keys", "create", tenant)
    everywhere = [instance(stores, pepper, clock) for _ in range(3)]
    for each in everywhere:
        await each.authenticate(made["key"])
    assert (await program.away("keys", "revoke", tenant, made["id"], "--yes"))[
        "status"
    ] == "revoked"
    clock.advance(CACHE_SECONDS)
    assert timedelta(seconds=CACHE_SECONDS) < KEYS_WORK_FOR
    for each in everywhere:
        with pytest.raises(Unauthenticated):
            await each.authenticate(made["key"])


async def test_what_is_refused_already_is_not_rotated(program: Program, tenant: str) -> None:
    made = await program.away("keys", "create", tenant)
    await program.away("keys", "revoke", tenant, made["id"], "--yes")
    assert "refused already" in await program.refused_away("keys", "rotate", tenant, made["id"])


async def test_another_tenants_key_is_out_of_reach(
    program: Program, tenant: str, credentials: Credentials
) -> None:
    made = await program.away("keys", "create", tenant)
    other = f"{tenant}-2"
    await program.away("tenants", "create", other)
    for verb, *how in (("revoke", "--yes"), ("rotate",)):
        refusal = await program.refused_away("keys", verb, other, made["id"], *how)
        assert "has no key" in refusal
    await credentials.authenticate(made["key"])


async def test_a_suspended_tenants_valid_keys_are_told_so_and_wrong_ones_are_not(
    program: Program, tenant: str, credentials: Credentials, clock: ManualClock
) -> None:
    good, revoked = [await program.away("keys", "create", tenant) for _ in range(2)]
    await program.away("keys", "revoke", tenant, revoked["id"], "--yes")
    await credentials.authenticate(good["key"])
    await program.away("tenants", "suspend", tenant, "--yes")
    clock.advance(SETTLED.total_seconds())
    with pytest.raises(TenantSuspended):
        await credentials.authenticate(good["key"])
    for wrong in (revoked["key"], "sk_test_wrong"):
        with pytest.raises(Unauthenticated) as refusal:
            await credentials.authenticate(wrong)
        assert not isinstance(refusal.value, TenantSuspended)
    await program.away("tenants", "resume", tenant)
    assert (await credentials.authenticate(good["key"])).tenant.id == tenant
