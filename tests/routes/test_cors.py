"""Which web pages may read what browsers are answered."""

import asyncio
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from parley import bootstrap
from tests.routes.conftest import ROOT, Context, Invoke, Reply

SHOP = "https://shop.example"
NEWS = "https://news.example"
STRANGER = "https://evil.example"

Allow = Callable[[str, frozenset[str]], None]
Browse = Callable[[str, str, str], Reply]


@pytest.fixture
def allow(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> Allow:
    """Give the deployment and the demo tenant their lists of origins."""

    def allow(deployments: str, tenants: frozenset[str]) -> None:
        monkeypatch.setenv("PARLEY_ALLOWED_ORIGINS", deployments)
        bootstrap.allowed_origins.cache_clear()
        demo = loop.run_until_complete(services.directory.get_tenant("demo"))
        assert demo is not None
        loop.run_until_complete(services.directory.put_tenant(replace(demo, origins=tenants)))

    return allow


@pytest.fixture
def browse(invoke: Invoke, allow: Allow) -> Browse:
    """Ask for something from a page, where deployment and tenant have these lists."""

    def browse(deployments: str, tenants: str, origin: str) -> Reply:
        allow(deployments, frozenset(tenants.split()))
        return invoke("openai/list_models", headers={"Origin": origin})

    return browse


def allowed(headers: Mapping[str, str]) -> str | None:
    """Whom an answer may be read by; that it allows no more is checked on the way."""
    assert "access-control-allow-credentials" not in headers
    origin = headers.get("access-control-allow-origin")
    assert origin != "*"
    return origin


def preflight(path: str, origin: str, names: str = "authorization") -> Reply:
    """What the function of other methods answers, as API Gateway asks it about every path."""
    event = json.loads((ROOT / "events/fallback/refuse_method.json").read_text(encoding="utf-8"))
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": names,
    }
    event |= {"path": path, "httpMethod": "OPTIONS", "body": None, "headers": headers}
    event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    answer = importlib.import_module("functions.fallback.refuse_method").handler(event, Context())
    sent = {name.lower(): ", ".join(given) for name, given in answer["multiValueHeaders"].items()}
    return Reply(answer["statusCode"], answer["headers"] | sent, answer["body"])


@pytest.mark.parametrize(
    ("deployments", "tenants", "origin", "expected"),
    [
        (SHOP, SHOP, SHOP, SHOP),
        (f"{SHOP}, {NEWS}", f"{SHOP} {NEWS}", NEWS, NEWS),
        ("*", SHOP, SHOP, SHOP),
        (f"{SHOP},{NEWS}", SHOP, NEWS, None),
        (SHOP, "", SHOP, None),
        ("*", "", SHOP, None),
        ("", SHOP, SHOP, None),
        (NEWS, SHOP, SHOP, None),
        ("*", SHOP, STRANGER, None),
        ("*", SHOP, "null", None),
        ("*", SHOP, "*", None),
        ("*", SHOP, f"{SHOP}.evil.example", None),
        ("*", SHOP, "http://shop.example", None),
        ("*", SHOP, f"{SHOP}:8443", None),
    ],
)
def test_an_answer_is_for_pages_that_deployment_and_tenant_allow(
    browse: Browse, deployments: str, tenants: str, origin: str, expected: str | None
) -> None:
    reply = browse(deployments, tenants, origin)
    assert reply.status == 200
    assert allowed(reply.headers) == expected
    assert ("Origin" in reply.headers.get("vary", "")) == bool(deployments)


def test_a_stream_is_for_them_too(invoke: Invoke, allow: Allow) -> None:
    allow("*", frozenset({SHOP}))
    said = [{"role": "user", "content": "Hi"}]
    replies = [
        invoke(
            "openai/create_completion",
            messages=said,
            model="wesen-chat-v1",
            stream=True,
            headers={"Origin": origin},
        )
        for origin in (SHOP, STRANGER)
    ]
    assert [reply.status for reply in replies] == [200, 200]
    assert [allowed(reply.headers) for reply in replies] == [SHOP, None]
    assert "x-request-id" in replies[0].headers["access-control-expose-headers"]


def test_who_came_without_a_tenant_is_told_so_where_the_deployment_allows(
    invoke: Invoke, allow: Allow
) -> None:
    """A page can tell a wrong key from a broken network; there is nothing of a tenant's in it."""
    allow(SHOP, frozenset())
    for origin, expected in ((SHOP, SHOP), (NEWS, None)):
        headers = {"Origin": origin, "Authorization": "Bearer sk_test_nobody"}
        reply = invoke("openai/list_models", headers=headers)
        assert (reply.status, allowed(reply.headers)) == (401, expected)


def test_a_preflight_needs_no_credential(allow: Allow) -> None:
    allow(SHOP, frozenset())
    reply = preflight("/v1/chat/completions", SHOP, "authorization, x-stainless-os")
    assert (reply.status, reply.text) == (204, "")
    assert allowed(reply.headers) == SHOP
    assert reply.headers["access-control-allow-methods"] == "GET, POST"
    assert reply.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert int(reply.headers["access-control-max-age"]) > 0
    assert "Origin" in reply.headers["vary"]


@pytest.mark.parametrize("deployments", ["", NEWS])
def test_a_preflight_of_others_is_any_other_wrong_method(allow: Allow, deployments: str) -> None:
    allow(deployments, frozenset({SHOP}))
    reply = preflight("/v1/chat/completions", SHOP)
    assert (reply.status, allowed(reply.headers)) == (405, None)


def test_a_preflight_tells_nothing_of_paths_that_are_not_there(allow: Allow) -> None:
    allow(SHOP, frozenset())
    assert preflight("/v1/nothing", SHOP).status == 404


def test_a_preflight_asks_for_headers_that_are_some(allow: Allow) -> None:
    allow(SHOP, frozenset())
    for names in ("", "a b", "x\u00e9", "a,,b", ",".join(["x-a"] * 1000)):
        reply = preflight("/v1/models", SHOP, names)
        assert reply.status == 204
        assert "access-control-allow-headers" not in reply.headers


@pytest.mark.parametrize(
    "given",
    ["shop.example", "https://shop.example/", "https://Shop.example", "ftp://a", "https://*.a.b"],
)
def test_a_deployment_with_a_list_that_no_browser_fits_does_not_start(
    services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("PARLEY_ALLOWED_ORIGINS", f"{SHOP},{given}")
    bootstrap.allowed_origins.cache_clear()
    with pytest.raises(RuntimeError, match="PARLEY_ALLOWED_ORIGINS"):
        bootstrap.allowed_origins()
    monkeypatch.undo()
