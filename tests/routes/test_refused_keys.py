"""Valid keys that may not be used are told so in the dialect's words; others learn nothing."""

import asyncio
from dataclasses import replace

import pytest

from parley import bootstrap
from parley.domain.tenants import SCOPES, KeyKind
from tests.routes.conftest import Invoke

ROUTES = {
    "openai": "openai/list_models",
    "sessions": "sessions/list_chats",
    "tenant": "tenant/list_user_chats",
    "apps": "apps/get_info",
    "personas": "personas/get_token",
    "consultant": "consultant/get_history",
}


def test_each_scope_has_a_route_here() -> None:
    assert tuple(ROUTES) == SCOPES


@pytest.fixture
def key(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> dict[str, str]:
    """The headers of a key that is for no API that has these routes."""

    async def issue() -> str:
        demo = await services.directory.get_tenant("demo")
        assert demo is not None
        _, text = await services.credentials.issue(
            demo, KeyKind.TEST, scopes=frozenset({"another"})
        )
        return text

    return {"Authorization": f"Bearer {loop.run_until_complete(issue())}"}


@pytest.mark.parametrize("route", ROUTES.values())
def test_a_key_for_other_apis_is_refused(invoke: Invoke, key: dict[str, str], route: str) -> None:
    reply = invoke(route, headers=key)
    assert reply.status == 403
    assert "not for this API" in reply.text


@pytest.mark.parametrize("route", ROUTES.values())
def test_a_suspended_tenants_key_is_told_so_and_a_wrong_one_is_not(
    invoke: Invoke,
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    route: str,
) -> None:
    async def suspend() -> None:
        demo = await services.directory.get_tenant("demo")
        assert demo is not None
        await services.directory.put_tenant(replace(demo, suspended_at=demo.created_at))

    wrong = {"Authorization": "Bearer sk_test_wrong"}
    before = invoke(route, headers=wrong)
    loop.run_until_complete(suspend())
    reply = invoke(route, headers={"Authorization": "Bearer sk_test_demo"})
    assert reply.status == 403
    assert "account is suspended" in reply.text
    after = invoke(route, headers=wrong)
    assert (after.status, after.json) == (before.status, before.json)
    assert after.status == 401
