"""Tenants are taken on, held to limits, suspended and resumed by the program."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from parley.domain.conversations import Origin
from parley.domain.holds import Hold, budget, units
from tests.admin.conftest import Program
from tests.support.stores import Stores, finished


def test_a_new_tenant_is_listed_with_the_default_limits(program: Program, tenant: str) -> None:
    [listed] = [each for each in program.do("tenants", "list") if each["id"] == tenant]
    assert (listed["status"], listed["models"]) == ("active", [])
    assert program.do("tenants", "show", tenant)["limits"]["requests_per_minute"] == 100


def test_a_person_reads_a_table_that_nothing_is_cut_off_from(program: Program, tenant: str) -> None:
    answer = program.run("tenants", "list")
    assert answer.code == 0
    [line] = [line for line in answer.out.splitlines() if line.startswith(tenant)]
    assert "active" in line


def test_an_id_is_taken_once(program: Program, tenant: str) -> None:
    assert "already" in program.refused("tenants", "create", tenant)


@pytest.mark.parametrize("name", ["", "a#b", "-a", "x" * 65, "two words"])
def test_an_id_is_a_plain_name(program: Program, name: str) -> None:
    assert "id" in program.refused("tenants", "create", "--", name)


def test_some_limits_are_changed_and_the_others_stay(program: Program, tenant: str) -> None:
    before = program.do("tenants", "limits", tenant)
    after = program.do("tenants", "limits", tenant, "requests_per_minute=600", "connections=7")
    assert after == before | {"requests_per_minute": 600, "connections": 7}
    assert program.do("tenants", "limits", tenant) == after


def test_some_rules_of_turns_are_changed_and_the_others_stay(program: Program, tenant: str) -> None:
    before = program.do("tenants", "turns", tenant)
    after = program.do("tenants", "turns", tenant, "one_at_a_time=on", "stored_run_on=off")
    assert after == before | {"one_at_a_time": True, "stored_run_on": False}
    assert program.do("tenants", "show", tenant)["turns"] == after


@pytest.mark.anyio
async def test_how_a_budget_stands_is_told_to_the_cent(program: Program, stores: Stores) -> None:
    now = stores.clock.now()
    money = budget(now)
    await program.away("tenants", "limits", stores.tenant, "budget=1.00")
    hold = Hold(money, units(Decimal("0.30")), units(Decimal(1)))
    for cost in (Decimal("0.125"), None):
        origin = Origin(dialect="openai", key_id="key-1", user="alice", holds=(hold,))
        reply = stores.completion(origin=origin)
        await stores.conversations.begin_completions(stores.scope, [reply])
        if cost is not None:
            ended = finished(reply, "Hi!", origin=origin)
            record = replace(stores.record(ended), cost=cost)
            assert await stores.conversations.settle(ended, record)
    assert await program.away("tenants", "budget", stores.tenant) == {
        "month": f"{now:%Y-%m}",
        "budget": "1.00",
        "spent": "0.125",
        "held": "0.3",
        "left": "0.575",
    }


def test_a_budget_is_kept_to_the_cent_and_lifted(program: Program, tenant: str) -> None:
    limits = program.do("tenants", "limits", tenant, "budget=25.10", "tokens_per_minute=9")
    assert (limits["budget"], limits["tokens_per_minute"]) == ("25.10", 9)
    lifted = program.do("tenants", "limits", tenant, "budget=none", "tokens_per_minute=none")
    assert (lifted["budget"], lifted["tokens_per_minute"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("wishes=3", "no limit wishes"),
        ("connections", "is no limit"),
        ("connections=-1", "whole number"),
        ("connections=1.5", "whole number"),
        ("connections=none", "can't be lifted"),
        ("budget=-1", "US dollars"),
        ("budget=nan", "US dollars"),
        ("budget=0.0000001", "six decimal"),
        ("budget=1e9", "less than 1,000,000,000"),
        ("budget=1e30", "less than 1,000,000,000"),
        ("concurrent_turns=9007199254740992", "at most 9007199254740991"),
    ],
)
def test_a_wrong_limit_is_named(program: Program, tenant: str, change: str, why: str) -> None:
    assert why in program.refused("tenants", "limits", tenant, change)


def test_origins_are_allowed_shown_and_taken_back(program: Program, tenant: str) -> None:
    shop, news = "https://shop.example", "http://localhost:3000"
    assert program.do("tenants", "origins", tenant) == {"origins": []}
    assert program.do("tenants", "origins", tenant, shop, news) == {"origins": [news, shop]}
    assert program.do("tenants", "origins", tenant) == {"origins": [news, shop]}
    assert program.do("tenants", "show", tenant)["origins"] == [news, shop]
    assert program.do("tenants", "origins", tenant, "--none") == {"origins": []}


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://shop.example/", "HTTPS://A.B"])
def test_what_no_browser_calls_an_origin_is_refused(
    program: Program, tenant: str, origin: str
) -> None:
    assert "is no origin" in program.refused("tenants", "origins", tenant, origin)


def test_a_tenant_is_suspended_and_resumed(program: Program, tenant: str) -> None:
    assert program.do("tenants", "suspend", tenant, "--yes")["status"] == "suspended"
    since = program.do("tenants", "show", tenant)["since"]
    assert program.do("tenants", "suspend", tenant, "--yes")["since"] == since
    assert program.do("tenants", "resume", tenant)["status"] == "active"


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "suspend", "{tenant}"),
        ("tenants", "delete", "{tenant}"),
        ("users", "delete", "{tenant}", "alice"),
        ("keys", "revoke", "{tenant}", "key_1"),
    ],
)
def test_what_cannot_be_undone_is_refused_where_nobody_can_be_asked(
    program: Program, tenant: str, command: tuple[str, ...]
) -> None:
    answer = program.run(*(part.format(tenant=tenant) for part in command))
    assert answer.code == 2
    assert "--yes" in answer.err
    assert program.do("tenants", "show", tenant)["status"] == "active"


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "show"),
        ("tenants", "limits"),
        ("tenants", "resume"),
        ("tenants", "delete", "--yes"),
        ("keys", "create"),
        ("keys", "list"),
        ("models", "show"),
        ("personas", "list"),
        ("app", "show"),
        ("catalogue", "show"),
        ("conversations", "list", "{user}"),
        ("users", "export", "{user}"),
        ("users", "delete", "{user}", "--yes"),
        ("usage",),
    ],
)
def test_a_tenant_that_is_not_there_is_told_in_a_sentence(
    program: Program, command: tuple[str, ...]
) -> None:
    named = [*command[:2], "nobody", *(part.format(user="alice") for part in command[2:])]
    assert program.refused(*named) == "There is no tenant nobody."


def test_without_a_stack_the_program_says_how_to_start_one(program: Program) -> None:
    folder = program.data_dir / "nothing"
    program.data_dir = folder
    sentence = program.refused("tenants", "list")
    assert "make dev" in sentence
    assert str(folder) in sentence


def test_json_is_all_that_a_script_reads(program: Program, tenant: str) -> None:
    answer = program.run("tenants", "show", tenant, "--json")
    assert json.loads(answer.out)["id"] == tenant
    assert answer.err == ""
