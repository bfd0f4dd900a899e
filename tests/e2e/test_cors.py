"""Web pages of other origins at the local stack's front door."""

import httpx
import pytest

from local.seed import DEVELOPERS_ORIGINS
from tests.e2e.conftest import Stack

PAGE = "http://localhost:5173"
STRANGER = "https://evil.example"
KEY = {"Authorization": "Bearer sk_test_conformance"}
ASKS = {"Access-Control-Request-Headers": "authorization, content-type"}


def test_a_preflight_is_answered_on_every_path(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url) as http:
        paths = http.get("/openapi.json").json()["paths"]
        for path, methods in paths.items():
            if path.startswith("/admin/"):
                continue  # which no browser calls
            for method in methods:
                asks = {"Origin": PAGE, "Access-Control-Request-Method": method.upper(), **ASKS}
                reply = http.options(path, headers=asks)
                assert reply.status_code == 204, path
                assert reply.headers["access-control-allow-origin"] == PAGE
                assert method.upper() in reply.headers["access-control-allow-methods"].split(", ")
                assert "authorization" in reply.headers["access-control-allow-headers"]


@pytest.mark.parametrize("streams", [False, True])
def test_a_page_reads_what_its_tenant_lets_it(stack: Stack, *, streams: bool) -> None:
    assert PAGE in DEVELOPERS_ORIGINS
    said = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "stream": streams}
    url = f"{stack.url}/v1/chat/completions"
    for origin, expected in ((PAGE, PAGE), (STRANGER, None)):
        reply = httpx.post(url, json=said, headers={"Origin": origin, **KEY})
        assert reply.status_code == 200
        assert reply.headers.get("access-control-allow-origin") == expected
        assert "access-control-allow-credentials" not in reply.headers
        assert "Origin" in reply.headers["vary"]
