"""A tenant out of requests, on every route, through the deployed entry point and its event file."""

import asyncio

import pytest

from parley.bootstrap import Services
from parley.dialects.admin import ADMIN
from parley.dialects.docs import DOCS
from parley.dialects.health import HEALTH
from parley.dialects.registry import DIALECTS
from parley.domain.tenants import Limits, Tenant
from parley.services.limits import Allowance, LimitReached
from tests.routes.conftest import NOW, ROOT, Invoke

LIMITED = {dialect.name: dialect for dialect in DIALECTS if dialect not in (ADMIN, DOCS, HEALTH)}
ROUTES = sorted(
    f"{name}/{file.stem}" for name in LIMITED for file in (ROOT / "events" / name).glob("*.json")
)


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_refuses_in_its_dialects_words_and_says_when_to_come_back(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop, route: str
) -> None:
    nothing = Tenant(id="demo", created_at=NOW, limits=Limits(requests_per_minute=0))
    loop.run_until_complete(services.directory.put_tenant(nothing))
    reply = invoke(route)
    assert reply.status == 429
    seconds = int(reply.headers["retry-after"])
    assert 1 <= seconds <= 60
    refusal = LimitReached(Allowance(0, 0, seconds, 0))
    assert reply.json == LIMITED[route.partition("/")[0]].envelope(refusal, 429)
    told = [value for name, value in reply.headers.items() if name.startswith("x-ratelimit-")]
    assert told[:2] == ["0", "0"]
    assert len(told) == 3
    assert reply.headers["x-request-id"]
