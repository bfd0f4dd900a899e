"""Back ends by name, and by the routes that lead to them."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.adapters.models.registry import BackEnds
from parley.adapters.secrets import MemorySecrets
from parley.domain.conversations import Parameters
from parley.domain.errors import ModelUnavailable
from parley.domain.routes import ModelRoute, TimeLimits
from tests.support import openai_server
from tests.support.models import ask
from tests.support.upstream import SSE, Exchange, upstream

SERVER = ModelRoute(
    "openai_compatible", "m", context_window=4096, base_url="https://models.example/v1"
)
BEDROCK = ModelRoute("bedrock", "m", context_window=200_000)


@pytest.mark.parametrize("name", ["embedded", "scripted"])
def test_a_back_end_is_one_and_the_same_however_often_it_is_asked_for(name: str) -> None:
    back_ends = BackEnds()

    assert back_ends.backend(name) is back_ends.backend(name)
    assert back_ends.serving(ModelRoute(name, "any")) is back_ends.backend(name)


def test_a_back_end_that_is_not_carried_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="`magic`"):
        BackEnds().backend("magic")
    with pytest.raises(ModelUnavailable, match="`magic`"):
        BackEnds().serving(ModelRoute("magic", "m"))


@pytest.mark.parametrize("route", [SERVER, BEDROCK])
def test_an_endpoint_is_one_and_the_same_for_all_its_models(route: ModelRoute) -> None:
    back_ends = BackEnds()
    other = replace(route, model="n", name="other", parameters=Parameters(seed=1))

    assert back_ends.serving(route) is back_ends.serving(other)
    assert back_ends.serving(route).context_window == route.context_window


@pytest.mark.parametrize(
    ("route", "other"),
    [
        (SERVER, replace(SERVER, base_url="https://other.example/v1")),
        (SERVER, replace(SERVER, secret="key")),
        (SERVER, replace(SERVER, limits=TimeLimits(connect=1))),
        (BEDROCK, replace(BEDROCK, region="eu-west-1")),
        (BEDROCK, replace(BEDROCK, context_window=32_000)),
    ],
)
def test_what_is_asked_otherwise_is_another_endpoint(route: ModelRoute, other: ModelRoute) -> None:
    back_ends = BackEnds()

    assert back_ends.serving(route) is not back_ends.serving(other)


def test_a_route_to_no_server_in_particular_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="names none"):
        BackEnds().serving(replace(SERVER, base_url=None))


@pytest.mark.anyio
async def test_a_server_is_sent_the_key_of_the_deployments_own_upstreams() -> None:
    secrets = MemorySecrets({"parley-prod/upstreams/vllm": "sk-1", "vllm": "sk-2"})
    done = openai_server.chunk({"content": "Yes."}, "stop")

    async def respond(exchange: Exchange) -> None:
        await exchange.begin(SSE)
        await exchange.send(done, b"data: [DONE]\n\n")
        await exchange.end()

    async with upstream(respond) as server:
        route = replace(SERVER, base_url=server.url, secret="vllm", headers=(("X-Team", "shop"),))
        model = BackEnds(secrets, stack="parley-prod").serving(route)
        await ask(model, "Well?")
        (request,) = server.requests
        assert isinstance(model, OpenAICompatibleModel)
        await model.aclose()

    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["x-team"] == "shop"


def test_libraries_of_remote_models_are_imported_when_a_route_leads_there() -> None:
    code = (
        "import sys; from parley import bootstrap;"
        "from parley.adapters.models.registry import BackEnds;"
        "from parley.domain.routes import ModelRoute;"
        "back_ends = BackEnds(); back_ends.serving(ModelRoute('scripted', 'm'));"
        "remote = {'httpx', 'parley.adapters.models.bedrock'};"
        "assert not remote & set(sys.modules), remote & set(sys.modules);"
        "back_ends.serving(ModelRoute('bedrock', 'm'));"
        "assert 'httpx' not in sys.modules;"
        "back_ends.serving(ModelRoute('openai_compatible', 'm', base_url='https://a.example'));"
        "assert remote <= set(sys.modules)"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
