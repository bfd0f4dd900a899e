"""What a `Directory` promises."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import Database, Tables, put
from parley.domain.apps import App, InputField, InputKind
from parley.domain.conversations import Parameters
from parley.domain.errors import Conflict
from parley.domain.routes import ModelRoute, Price, TimeLimits
from parley.domain.tenants import ApiKey, KeyKind, Limits, Tenant
from tests.support.stores import Stores

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio


def a_tenant(stores: Stores) -> Tenant:
    return Tenant(
        id=stores.tenant,
        created_at=stores.clock.now(),
        models={
            "z-first": ModelRoute("embedded", "smollm2"),
            "a-second": ModelRoute("scripted", "*"),
            "*": ModelRoute("scripted", "*"),
        },
        limits=Limits(requests_per_minute=7, messages_per_second=3, connections=2),
        origins=frozenset({"https://shop.example", "http://localhost:3000"}),
    )


def a_key(stores: Stores) -> ApiKey:
    return ApiKey(
        id="key-1",
        tenant=stores.tenant,
        kind=KeyKind.PRODUCTION,
        digest=f"digest-of-{stores.tenant}",
        created_at=stores.clock.now(),
        default_persona="guide",
    )


async def test_a_tenant_is_read_as_it_was_put(stores: Stores) -> None:
    tenant = a_tenant(stores)
    await stores.directory.put_tenant(tenant)
    assert await stores.directory.get_tenant(tenant.id) == tenant


async def test_a_route_is_read_as_it_was_put_with_all_it_says(stores: Stores) -> None:
    price = Price(
        since=date(2026, 7, 1),
        prompt=Decimal("2.50"),
        cached_prompt=Decimal("0.25"),
        completion=Decimal("10.000000001"),
    )
    bedrock = ModelRoute(
        "bedrock",
        "eu.anthropic.claude",
        name="claude",
        parameters=Parameters(temperature=0.1, max_tokens=10, stop=("END", "ቡና")),
        prices=(price, replace(price, since=date(2026, 1, 1), cached_prompt=None)),
        context_window=200_000,
        lacks=frozenset({"seed", "logprobs"}),
        limits=TimeLimits(connect=0.5, first_token=10, between_tokens=5),
        region="eu-central-1",
        streaming=False,
    )
    server = ModelRoute(
        "openai_compatible",
        "*",
        context_window=4096,
        base_url="https://models.example/v1",
        secret="vllm",
        headers=(("X-Team", "shop"), ("X-Cost", "7")),
        max_tokens_field="max_completion_tokens",
    )
    tenant = replace(a_tenant(stores), models={"smart": (bedrock, server), "*": server})

    await stores.directory.put_tenant(tenant)

    assert await stores.directory.get_tenant(tenant.id) == tenant


async def test_the_first_model_stays_the_default(stores: Stores) -> None:
    await stores.directory.put_tenant(a_tenant(stores))
    tenant = await stores.directory.get_tenant(stores.tenant)
    assert tenant is not None
    assert tenant.default_model == "z-first"
    assert list(tenant.models) == ["z-first", "a-second", "*"]


async def test_an_app_is_read_as_it_was_put(stores: Stores) -> None:
    assert await stores.directory.get_app(stores.tenant) is None
    bare = App(name="ቡና")
    whole = App(
        name="Guide",
        description="Shows people around.",
        author="Parley",
        tags=("travel", "food"),
        prompt_template="You show {{ guest }} around.",
        form=(
            InputField(variable="guest", label="Guest", required=True, max_length=10),
            InputField(
                variable="city", label="City", kind=InputKind.SELECT, options=("Axum", "Harar")
            ),
        ),
        opening_statement="Welcome!",
        suggested_questions=("What is there to see?",),
        suggests_after_answer=True,
        model="any",
        parameters=Parameters(temperature=0.5, stop=("END",)),
    )
    for app in (bare, whole):
        await stores.directory.put_app(stores.tenant, app)
        assert await stores.directory.get_app(stores.tenant) == app


async def test_limits_that_a_stored_tenant_lacks_are_the_defaults(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    tenant = a_tenant(ministack_stores)
    item = items.from_tenant(tenant) | {"limits": '{"requests_per_minute":7}'}
    database = Database(dynamodb, ministack_stores.clock)
    database.write(put(tables.directory, keys.tenant(tenant.id), item))
    read = await ministack_stores.directory.get_tenant(tenant.id)
    assert read == replace(tenant, limits=Limits(requests_per_minute=7))


async def test_a_tenant_is_replaced(stores: Stores) -> None:
    await stores.directory.put_tenant(a_tenant(stores))
    bare = Tenant(id=stores.tenant, created_at=stores.clock.now())
    await stores.directory.put_tenant(bare)
    assert await stores.directory.get_tenant(stores.tenant) == bare


async def test_a_key_is_found_by_its_digest(stores: Stores) -> None:
    key = a_key(stores)
    await stores.directory.put_key(key)
    assert await stores.directory.find_key(key.digest) == key


async def test_a_revoked_key_is_found_as_revoked(stores: Stores) -> None:
    key = a_key(stores)
    await stores.directory.put_key(key)
    revoked = replace(key, revoked_at=stores.clock.now())
    await stores.directory.put_key(revoked)
    assert await stores.directory.find_key(key.digest) == revoked


async def test_a_key_is_found_by_its_id_as_by_its_digest(stores: Stores) -> None:
    key = a_key(stores)
    await stores.directory.put_key(key)
    assert await stores.directory.get_key(stores.tenant, key.id) == key
    revoked = replace(key, revoked_at=stores.clock.now())
    await stores.directory.put_key(revoked)
    assert await stores.directory.get_key(stores.tenant, key.id) == revoked


async def test_a_key_is_not_found_by_its_id_in_another_tenant(stores: Stores) -> None:
    key = a_key(stores)
    await stores.directory.put_key(key)
    assert await stores.directory.get_key(f"{stores.tenant}#key", key.id) is None
    assert await stores.directory.get_key(f"not-{stores.tenant}", key.id) is None


async def test_what_is_unknown_is_none(stores: Stores) -> None:
    assert await stores.directory.get_key(stores.tenant, "unknown") is None
    assert await stores.directory.find_key("unknown") is None
    assert await stores.directory.get_tenant(stores.tenant) is None


async def test_a_tenants_and_a_keys_end_are_read_as_they_were_put(stores: Stores) -> None:
    now = stores.clock.now()
    tenant = replace(a_tenant(stores), suspended_at=now, deleted_at=now, revision=7)
    key = replace(a_key(stores), expires_at=now, scopes=frozenset({"apps", "openai"}))
    await stores.directory.put_tenant(tenant)
    await stores.directory.put_key(key)
    assert await stores.directory.get_tenant(tenant.id) == tenant
    assert await stores.directory.find_key(key.digest) == key
    for_nothing = replace(key, scopes=frozenset())
    await stores.directory.put_key(for_nothing)
    assert await stores.directory.get_key(key.tenant, key.id) == for_nothing


async def test_a_tenant_is_created_once_changed_in_order_and_removed(stores: Stores) -> None:
    directory, tenant = stores.directory, a_tenant(stores)
    await directory.create_tenant(tenant)
    with pytest.raises(Conflict):
        await directory.create_tenant(tenant)
    second = replace(tenant, limits=Limits(), revision=2)
    leaving = replace(second, deleted_at=stores.clock.now(), revision=3)
    await directory.change_tenant(second)
    for outdated in (tenant, second, replace(tenant, revision=4)):
        with pytest.raises(Conflict):
            await directory.change_tenant(outdated)
    assert [each for each in await directory.list_tenants() if each.id == tenant.id] == [second]
    await directory.remove_tenant(tenant.id)
    assert await directory.get_tenant(tenant.id) == second
    await directory.change_tenant(leaving)
    await directory.remove_tenant(tenant.id)
    assert tenant.id not in [each.id for each in await directory.list_tenants()]
    assert await directory.get_tenant(tenant.id) is None
    with pytest.raises(Conflict):
        await directory.change_tenant(replace(leaving, revision=4))
    await directory.remove_tenant(tenant.id)


async def test_a_key_is_changed_in_order_its_successor_beside_it(stores: Stores) -> None:
    directory, key = stores.directory, a_key(stores)
    stores.clock.advance(1)
    now = stores.clock.now()
    new = replace(key, id="a-key", digest=f"new-digest-of-{stores.tenant}", created_at=now)
    old = replace(key, expires_at=now, replaced_by=new.id, revision=2)
    with pytest.raises(Conflict):
        await directory.change_key(old, successor=new)
    assert await directory.list_keys(stores.tenant) == ()
    await directory.put_key(key)
    await directory.change_key(old, successor=new)
    for outdated in (key, old, replace(old, revision=4)):
        with pytest.raises(Conflict):
            await directory.change_key(outdated, successor=replace(new, id="another"))
    assert await directory.list_keys(stores.tenant) == (old, new)
    assert await directory.find_key(old.digest) == old
    assert await directory.find_key(new.digest) == new
    assert await directory.list_keys(f"{stores.tenant}-other") == ()
