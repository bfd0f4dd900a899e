"""Routes as an operator writes them: what is read, and what is refused with its line."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.adapters.memory import MemoryDirectory
from parley.adapters.secrets import MemorySecrets
from parley.domain.conversations import Parameters
from parley.domain.errors import InvalidRequest, NotFound
from parley.domain.routes import ModelRoute, Price, TimeLimits
from parley.domain.tenants import Tenant
from parley.services.administration.tenants import Tenants
from parley.services.located_json import Node, parse
from parley.services.model_routes import ModelRoutes
from parley.services.route_files import WrongRoutes, read_routes, routes_document
from tests.support.clock import NOON, ManualClock
from tests.support.stores import NothingToErase

ALL = """{
  "smart": [
    {
      "backend": "bedrock",
      "model": "eu.anthropic.claude-sonnet-4-5",
      "name": "claude",
      "region": "eu-central-1",
      "streaming": false,
      "context_window": 200000,
      "parameters": {"temperature": 0.2, "top_p": 1, "max_tokens": 1024, "seed": 7, "stop": ["END"],
                     "frequency_penalty": -0.5, "presence_penalty": 2},
      "prices": [
        {"since": "2026-01-01", "prompt": 3, "cached_prompt": 0.30, "completion": "15.00"},
        {"since": "2026-07-01", "prompt": 2.5, "completion": 12}
      ],
      "lacks": ["logprobs", "images"],
      "limits": {"connect": 1, "first_token": 20, "between_tokens": 10.5}
    },
    {
      "backend": "openai_compatible",
      "model": "qwen3",
      "context_window": 32768,
      "base_url": "http://vllm.internal:8000/v1",
      "secret": "vllm",
      "headers": {"X-Team": "shop"},
      "max_tokens_field": "max_completion_tokens"
    }
  ],
  "*": [{"backend": "embedded", "model": "smollm2-135m"}]
}"""


def test_every_field_is_read() -> None:
    assert read_routes(ALL) == {
        "smart": (
            ModelRoute(
                "bedrock",
                "eu.anthropic.claude-sonnet-4-5",
                name="claude",
                region="eu-central-1",
                streaming=False,
                context_window=200_000,
                parameters=Parameters(
                    temperature=0.2,
                    top_p=1.0,
                    max_tokens=1024,
                    seed=7,
                    stop=("END",),
                    frequency_penalty=-0.5,
                    presence_penalty=2.0,
                ),
                prices=(
                    Price(
                        since=date(2026, 1, 1),
                        prompt=Decimal(3),
                        cached_prompt=Decimal("0.30"),
                        completion=Decimal("15.00"),
                    ),
                    Price(since=date(2026, 7, 1), prompt=Decimal("2.5"), completion=Decimal(12)),
                ),
                lacks=frozenset({"logprobs", "images"}),
                limits=TimeLimits(connect=1, first_token=20, between_tokens=10.5),
            ),
            ModelRoute(
                "openai_compatible",
                "qwen3",
                context_window=32_768,
                base_url="http://vllm.internal:8000/v1",
                secret="vllm",
                headers=(("X-Team", "shop"),),
                max_tokens_field="max_completion_tokens",
            ),
        ),
        "*": ModelRoute("embedded", "smollm2-135m"),
    }


def test_routes_are_read_from_what_they_were_written_to() -> None:
    plain = {"p": [SERVER | {"base_url": "http://models.example/v1", "allow_http": True}]}
    price = '{"since": "2026-01-01", "prompt": 0.0000001, "completion": 1e2}'
    priced = f'{{"m": [{{"backend": "embedded", "model": "m", "prices": [{price}]}}]}}'
    for text in (ALL, json.dumps(plain), priced):
        routes = read_routes(text)

        assert read_routes(json.dumps(routes_document(routes))) == routes


def test_the_order_of_models_stays() -> None:
    models = {name: [{"backend": "scripted", "model": "m"}] for name in ("z", "a", "*", "k")}

    assert list(read_routes(json.dumps(models))) == ["z", "a", "*", "k"]


SERVER = {
    "backend": "openai_compatible",
    "model": "m",
    "context_window": 4096,
    "base_url": "https://models.example/v1",
}
BEDROCK = {"backend": "bedrock", "model": "m", "context_window": 4096}
PRICE = {"since": "2026-01-01", "prompt": 1, "completion": 1}


def refused(*routes: dict[str, Any]) -> list[str]:
    """What is wrong with the routes of a model, without lines."""
    with pytest.raises(WrongRoutes) as raised:
        read_routes(json.dumps({"m": routes}))
    return [mistake.reason for mistake in raised.value.mistakes]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backend": "bedrok"}, "`backend` must be one of bedrock, openai_compatible"),
        ({"backend": None}, "`backend` must be one of"),
        ({"model": ""}, "`model` must be text"),
        ({"model": "two words"}, "`model` must be text"),
        ({"model": "m" * 257}, "`model` must have 256 characters"),
        ({"name": "зал"}, "`name` must be text"),
        ({"colour": "red"}, "A route has no `colour`."),
        ({"region": "eu-central-1"}, "A route has no `region`."),
        ({"context_window": 0}, "`context_window` must be a whole number"),
        ({"context_window": True}, "`context_window` must be a whole number"),
        ({"context_window": 4096.5}, "`context_window` must be a whole number"),
        ({"parameters": []}, "`parameters` must be an object."),
        ({"parameters": {"temprature": 1}}, "`parameters` has no `temprature`."),
        ({"parameters": {"temperature": 3}}, "`temperature` must be from 0 to 2."),
        ({"parameters": {"temperature": "1"}}, "`temperature` must be a number."),
        ({"parameters": {"stop": [""]}}, "`stop` must be a list of texts"),
        ({"parameters": {"stop": "END"}}, "`stop` must be a list of texts"),
        ({"lacks": ["seeds"]}, "`lacks` must be a list of names out of tools"),
        ({"lacks": ["seed"], "parameters": {"seed": 1}}, "`parameters` has the `seed` that"),
        ({"prices": []}, "`prices` must be a list of one price or more."),
        ({"prices": [1]}, "A price must be an object."),
        ({"prices": [{**PRICE, "prompt": -1}]}, "`prompt` must not be negative."),
        ({"prices": [{**PRICE, "prompt": "-0.5"}]}, "`prompt` must not be negative."),
        ({"prices": [{**PRICE, "prompt": "free"}]}, "`prompt` must be dollars"),
        ({"prices": [{**PRICE, "prompt": 1e7}]}, "`prompt` must be at most 1000000"),
        ({"prices": [{**PRICE, "prompt": 1e-10}]}, "`prompt` must be at most 1000000, with 9"),
        ({"prices": [{**PRICE, "cached_prompt": 2}]}, "`cached_prompt` must not be more than"),
        ({"prices": [{**PRICE, "currency": "EUR"}]}, "A price has no `currency`."),
        ({"prices": [{**PRICE, "since": "2026-02-30"}]}, "`since` must be a day"),
        ({"prices": [{**PRICE, "since": "20260201"}]}, "`since` must be a day"),
        ({"prices": [{"since": "2026-01-01", "prompt": 1}]}, "A price needs `completion`."),
        ({"prices": [PRICE, PRICE]}, "There is a price since 2026-01-01 in line 1."),
        ({"limits": {"connect": 0}}, "`connect` must be more than 0 seconds."),
        ({"limits": {"first_token": 901}}, "`first_token` must be from 0 to 900."),
        ({"limits": {"usage": 1}}, "`limits` has no `usage`."),
        ({"secret": "no spaces"}, "`secret` must be the name of a secret"),
        ({"headers": {"Authorization": "Bearer x"}}, "`headers` must not have `Authorization`"),
        ({"headers": {"Content-Length": "1"}}, "`headers` can't have 'Content-Length'"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "`headers` has no text of ASCII as its 'X-A'"),
        ({"headers": ["X-A"]}, "`headers` must be an object of texts."),
        ({"max_tokens_field": "max"}, "`max_tokens_field` must be one of"),
        ({"allow_http": "yes"}, "`allow_http` must be true or false."),
    ],
)
def test_what_is_wrong_with_a_route_is_said(change: dict[str, Any], reason: str) -> None:
    (said,) = refused(SERVER | change)

    assert said.startswith(reason)


@pytest.mark.parametrize(
    "url",
    [
        "models.example/v1",
        "ftp://models.example",
        "https://",
        "https://u:p@models.example",
        "https://models.example/v1?key=1",
        "https://models.example/v1#a",
        "https://models.example:port/",
        "https://[::1",
        "https://models .example",
        "http://models.example/v1",
        "http://8.8.8.8/v1",
        "http://[2606:4700::1111]/v1",
        "http://169.254.169.254/latest",
        "https://169.254.170.2/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[fe80::1]/",
        "http://0xA9FEA9FE/",
        "http://2852039166/",
        "http://169.254.43518/",
    ],
)
def test_no_conversation_is_sent_where_it_must_not_go(url: str) -> None:
    (said,) = refused(SERVER | {"base_url": url})

    assert said.startswith("`base_url`")


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fd00:ec2::254]/"])
def test_where_credentials_are_told_nobody_is_sent_even_where_http_is_allowed(url: str) -> None:
    (said,) = refused(SERVER | {"base_url": url, "allow_http": True})

    assert "credentials" in said


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("https://models.example", {}),
        ("https://models.example:8443/a/v1/", {}),
        ("http://localhost:11434/v1", {}),
        ("http://127.0.0.1:8000/v1", {}),
        ("http://10.0.3.7:8000/v1", {}),
        ("http://[fd12::1]:8000/v1", {}),
        ("http://vllm:8000/v1", {}),
        ("http://vllm.internal/v1", {}),
        ("http://models.example/v1", {"allow_http": True}),
    ],
)
def test_a_server_is_reached_over_tls_or_inside_a_network(url: str, more: dict[str, Any]) -> None:
    route = read_routes(json.dumps({"m": [SERVER | {"base_url": url} | more]}))["m"]

    assert isinstance(route, ModelRoute)
    assert route.base_url == url


@pytest.mark.parametrize("field", ["backend", "model", "context_window", "base_url"])
def test_a_field_that_a_server_needs_is_missed(field: str) -> None:
    without = {name: value for name, value in SERVER.items() if name != field}

    assert refused(without) == [f"A route needs `{field}`."]


def test_a_model_of_this_process_knows_its_window_by_itself() -> None:
    (said,) = refused({"backend": "embedded", "model": "m", "context_window": 1})

    assert said == "A route has no `context_window`."


@pytest.mark.parametrize("region", ["eu", "EU-central-1", "eu-central-1.evil.example/"])
def test_a_region_is_one_of_aws(region: str) -> None:
    (said,) = refused(BEDROCK | {"region": region})

    assert said.startswith("`region` must be a region of AWS")


def test_two_routes_that_could_not_be_told_apart_are_refused() -> None:
    text = json.dumps({"m": [BEDROCK, BEDROCK | {"region": "eu-west-1"}]}, indent=1)

    with pytest.raises(WrongRoutes, match=r"line 8: .* `bedrock/m` like that of line 3"):
        read_routes(text)
    with pytest.raises(WrongRoutes, match=r"line 1: .* `bedrock/m` like that of line 1"):
        read_routes(json.dumps({"m": [BEDROCK, BEDROCK | {"region": "eu-west-1"}]}))
    named = [BEDROCK, BEDROCK | {"region": "eu-west-1", "name": "bedrock/west"}]
    assert len(read_routes(json.dumps({"m": named}))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: Expecting value."),
        ('{"m": [\n', "line 2: Expecting value."),
        ('{\n"m": NaN}', "line 2: Expecting a number that can be written out."),
        ('{\n"m": 1e99999999999999999999}', "line 2: Expecting a number that can be written out."),
        ('{"m": [],\n\n"m": []}', "line 3: `m` stands in line 1 already."),
        ('{"m": [],\n}', "line 2: Expecting property name enclosed in double quotes."),
        ("{}\n{}", "line 2: Extra data."),
        ("{}" + " " * 100_000, "line 1: It has more than 100000 bytes."),
        ("[" * 100, "line 1: Lists and objects in each other are more than 16 deep."),
        ("[]", "line 1: The routes must be an object, by model name."),
        ("{}", "line 1: There is no model in it."),
        ('{\n"m": []}', "line 2: `m` must be a list of one route or more, in the order to"),
        ('{\n"m": [\n3]}', "line 3: A route must be an object."),
        ('{\n" ": [{"backend": "scripted", "model": "m"}]}', "line 2: ' ' is no name of a model."),
    ],
)
def test_a_text_that_holds_no_routes_is_refused_with_the_line(text: str, said: str) -> None:
    with pytest.raises(WrongRoutes) as raised:
        read_routes(text)
    assert raised.value.message.startswith(said)
    assert len(raised.value.mistakes) == 1


def test_all_mistakes_are_told_in_the_order_of_their_lines() -> None:
    text = ALL.replace('"since": "2026-07-01"', '"since": "soon"').replace("bedrock", "bedrok")
    text = text.replace('"model": "smollm2-135m"', '"modle": "smollm2-135m"')

    with pytest.raises(WrongRoutes) as raised:
        read_routes(text)

    assert [mistake.line for mistake in raised.value.mistakes] == [4, 29, 29]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values), st.sampled_from([None, 1]))
def test_json_is_read_as_python_reads_it(value: dict[str, Any], indent: int | None) -> None:
    def bare(node: Node) -> Any:
        match node.value:
            case dict() as fields:
                return {name: bare(each) for name, each in fields.items()}
            case list() as items:
                return [bare(each) for each in items]
        return node.value

    assert bare(parse(json.dumps(value, indent=indent))) == value


pytestmark = pytest.mark.anyio


def admin(directory: MemoryDirectory) -> ModelRoutes:
    tenants = Tenants(directory, NothingToErase(), ManualClock())
    return ModelRoutes(tenants, MemorySecrets({}), stack="parley")


async def test_routes_replace_those_that_a_tenant_has() -> None:
    directory = MemoryDirectory()
    await directory.create_tenant(
        Tenant(id="acme", created_at=NOON, models={"old": ModelRoute("scripted", "old")})
    )

    await admin(directory).replace("acme", ALL)

    tenant = await directory.get_tenant("acme")
    assert tenant is not None
    assert tenant.models == read_routes(ALL)


async def test_another_order_is_a_change_for_the_first_is_the_default() -> None:
    directory = MemoryDirectory()
    await directory.create_tenant(Tenant(id="acme", created_at=NOON))
    named = {name: [{"backend": "scripted", "model": "any"}] for name in ("one", "two")}
    for models in (named, dict(reversed(named.items()))):
        await admin(directory).replace("acme", json.dumps(models))

    tenant = await directory.get_tenant("acme")
    assert tenant is not None
    assert tenant.default_model == "two"


async def test_wrong_routes_change_nothing() -> None:
    directory = MemoryDirectory()
    await directory.create_tenant(Tenant(id="acme", created_at=NOON))

    with pytest.raises(WrongRoutes):
        await admin(directory).replace("acme", "{}")
    with pytest.raises(NotFound, match="There is no tenant nobody"):
        await admin(directory).replace("nobody", ALL)

    tenant = await directory.get_tenant("acme")
    assert tenant == Tenant(id="acme", created_at=NOON)


async def test_the_key_of_a_server_is_kept_among_those_of_upstreams() -> None:
    secrets = MemorySecrets({})
    tenants = Tenants(MemoryDirectory(), NothingToErase(), ManualClock())
    routes = ModelRoutes(tenants, secrets, stack="parley-prod")

    assert await routes.keep_key("vllm", "sk-1") == "parley-prod/upstreams/vllm"
    assert await secrets.get("parley-prod/upstreams/vllm") == "sk-1"


@pytest.mark.parametrize(
    ("name", "key"), [("", "sk-1"), ("a b", "sk-1"), ("vllm", ""), ("vllm", "sk\n1")]
)
async def test_what_can_not_be_sent_as_a_key_is_not_kept(name: str, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await admin(MemoryDirectory()).keep_key(name, key)
