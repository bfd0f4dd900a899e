"""Every route of the admin API, through the deployed entry point and its event file."""

import asyncio
import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import boto3
import pytest

from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.domain.conversations import Conversation, Scope
from parley.domain.ids import ConversationId
from tests.routes.conftest import NOW, ROOT, Clients, Context, Invoke, Reply
from tests.support.completions import kept
from tests.support.lines import Lines

OPERATOR = "arn:aws:sts::123456789012:assumed-role/Operator/ada"
KEY = "sk_test_demo"


def refused(reply: Reply, status: int, code: str) -> Any:
    """The error, whose envelope is checked."""
    assert reply.status == status, reply.text
    assert set(reply.json) == {"error"}
    error = reply.json["error"]
    assert {"code", "message", "param"} <= set(error)
    assert error["code"] == code
    assert error["message"]
    assert reply.headers["x-request-id"]
    return error


def accepted(invoke: Invoke, key: str) -> bool:
    """Whether a key opens the APIs."""
    headers = {"Authorization": f"Bearer {key}"}
    status = invoke("openai/list_models", headers=headers).status
    assert status in {200, 401, 403}
    return status == 200


def erase(**asked: Any) -> None:
    """Have the worker do what its event file asks for, or another errand."""
    event = event_of("erase")
    if asked:
        event["erase"] = asked
    importlib.import_module("functions.admin.erase").handler(event, Context())


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Lines.taken() as lines:
        yield lines


@pytest.fixture
def talked(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> ConversationId:
    """A conversation of user-81 with one turn, and a stored completion."""
    conversation = Conversation(
        id=ConversationId(4711), tenant="demo", user="user-81", created_at=NOW, updated_at=NOW
    )
    loop.run_until_complete(services.store.create(conversation))
    loop.run_until_complete(
        services.store.append_turn(conversation, text="ሰላም!", model="any", at=NOW)
    )
    return conversation.id


# Who may ask -----------------------------------------------------------------------------------


def event_of(route: str) -> dict[str, Any]:
    """The event file of a route."""
    event: dict[str, Any] = json.loads((ROOT / "events" / "admin" / f"{route}.json").read_text())
    return event


def anonymous(route: str) -> dict[str, Any]:
    """The event of a route that somebody was let in to without a signature."""
    event = event_of(route)
    event["requestContext"]["identity"] |= {"userArn": None, "user": None, "caller": None}
    return event


ROUTES = sorted(
    file.stem for file in (ROOT / "events" / "admin").glob("*.json") if file.stem != "erase"
)


def test_nobody_is_answered_whom_the_gateway_does_not_name(services: bootstrap.Services) -> None:
    """However a tenant's key is sent, should the gateway ever ask for no signature."""
    handler = importlib.import_module("functions.admin.app").handler
    for route in ROUTES:
        for header, value in [("Authorization", f"Bearer {KEY}"), ("X-API-Key", KEY)]:
            event = anonymous(route)
            event["headers"][header] = value
            event["multiValueHeaders"][header] = [value]
            answer = handler(event, Context())
            assert answer["statusCode"] == 403, route
            assert json.loads(answer["body"])["error"]["code"] == "forbidden"


def test_the_line_of_a_request_says_which_operator_did_what_to_which_tenant(
    invoke: Invoke, lines: Lines
) -> None:
    assert invoke("admin/revoke_key").status == 200
    [line] = lines.of("server")
    assert line["operator"] == OPERATOR
    assert (line["tenant"], line["key_id"]) == ("demo", "key_test_demo")
    assert line["http.route"] == "/admin/v1/tenants/{tenant}/keys/{key}/revoke"


def test_no_line_has_a_key_s_text_or_what_people_said(
    invoke: Invoke, clients: Clients, lines: Lines, talked: ConversationId
) -> None:
    texts = [invoke(f"admin/{name}").json["key"] for name in ("create_key", "rotate_key")]
    assert "ሰላም" in invoke("admin/export_user").text
    invoke("admin/delete_user")
    for text in [*texts, "ሰላም", "\\u1230", "user-81"]:
        assert text not in lines.text


def test_a_path_or_a_method_that_is_not_there_is_refused_in_the_same_envelope(
    invoke: Invoke,
) -> None:
    event = event_of("get_tenant")
    handler = importlib.import_module("functions.admin.app").handler
    for changed, status, code in [
        ({"path": "/admin/v1/nothing"}, 404, "not_found"),
        ({"httpMethod": "PUT"}, 405, "method_not_allowed"),
    ]:
        answer = handler(event | changed, Context())
        assert answer["statusCode"] == status
        assert json.loads(answer["body"])["error"]["code"] == code
        assert set(json.loads(answer["body"])) == {"error"}


NOT_OF_ONE = {"create_tenant", "list_tenants"}

NOT_UTF_8 = "gICA"
"""In base64."""


def test_a_tenant_that_is_not_there_is_a_404_everywhere(
    services: bootstrap.Services, clients: Clients
) -> None:
    handler = importlib.import_module("functions.admin.app").handler
    for route in sorted(set(ROUTES) - NOT_OF_ONE):
        event = event_of(route)
        event["path"] = event["path"].replace("/demo", "/nobody")
        if "tenant" in (event["queryStringParameters"] or {}):
            event["queryStringParameters"]["tenant"] = "nobody"
            event["multiValueQueryStringParameters"]["tenant"] = ["nobody"]
        answer = handler(event, Context())
        assert answer["statusCode"] == 404, f"{route}: {answer['body']}"
        assert json.loads(answer["body"])["error"]["code"] == "not_found"
    assert clients.invoked == []


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", "{}{}", "[" * 2000, NOT_UTF_8])
def test_a_body_that_is_no_such_document_is_a_400(services: bootstrap.Services, body: str) -> None:
    handler = importlib.import_module("functions.admin.app").handler
    for route in ROUTES:
        event = event_of(route)
        if event["body"] is None:
            continue
        event |= {"body": body, "isBase64Encoded": body == NOT_UTF_8}
        answer = handler(event, Context())
        assert answer["statusCode"] == 400, f"{route}: {answer['body']}"
        assert json.loads(answer["body"])["error"]["message"]


WRONG: list[tuple[str, dict[str, Any], str | None]] = [
    ("create_tenant", {"id": "../demo"}, "id"),
    ("create_tenant", {"name": "acme"}, "name"),
    ("set_limits", {"connections": -1}, "connections"),
    ("set_limits", {"connections": None}, "connections"),
    ("set_limits", {"connections": True}, "connections"),
    ("set_limits", {"connections": "5"}, "connections"),
    ("set_limits", {"budget": "a lot"}, "budget"),
    ("set_turns", {"one_at_a_time": "yes"}, "one_at_a_time"),
    ("set_turns", {"two_at_a_time": True}, "two_at_a_time"),
    ("set_limits", {"budget": "0.0000001"}, "budget"),
    ("set_origins", {"origins": ["https://Shop.example/"]}, "origins"),
    ("set_origins", {"origins": "https://shop.example"}, "origins"),
    ("set_origins", {"origins": [f"https://{each}.example" for each in range(101)]}, "origins"),
    ("create_key", {"kind": "gold"}, "kind"),
    ("create_key", {"scopes": ["openai", "admin"]}, "scopes"),
    ("create_key", {"scopes": []}, "scopes"),
    ("create_key", {"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ("create_key", {"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
    ("create_key", {"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
    ("rotate_key", {"overlap_seconds": -1}, "overlap_seconds"),
    ("rotate_key", {"overlap_seconds": True}, "overlap_seconds"),
    ("set_key_limits", {"connections": 1}, "connections"),
    ("create_persona", {"alias": "a b"}, "alias"),
    ("create_persona", {"content": {"name": "N"}}, "content.system_prompt"),
    ("edit_persona", {"parameters": {"seed": 10**400}}, "parameters.seed"),
    ("edit_persona", {"parameters": {"temperature": True}}, "parameters.temperature"),
    ("edit_persona", {"parameters": {"stop": ["x" * 257]}}, "parameters.stop.0"),
    ("roll_back_persona", {"version": 0}, "version"),
    ("roll_back_persona", {"version": True}, "version"),
    ("set_app", {"form": [{"variable": "1", "label": "One"}]}, "form.0.variable"),
    ("set_app", {"suggests_after_answer": "yes"}, "suggests_after_answer"),
    ("set_app", {"suggested_questions": ["x" * 100_000] * 4}, None),
    ("load_catalogue", {"products": []}, "products"),
]
"""Routes, what to change in their bodies, and which field is to be named then."""


def test_a_wrong_field_is_named(invoke: Invoke) -> None:
    for route, change, param in WRONG:
        error = refused(invoke(f"admin/{route}", fields=change), 400, "invalid_request")
        assert error["param"] == param


TOLD: list[tuple[str, dict[str, Any], str]] = [
    ("set_origins", {"origins": "https://shop.example"}, "origins: Input should be a valid list."),
    ("set_app", {"tags": "books"}, "tags: Input should be a valid list."),
    ("edit_persona", {"parameters": 1}, "parameters: Input should be an object."),
    ("edit_persona", {"name": ""}, "name: Text should have at least 1 character."),
    ("edit_persona", {"name": "N" * 257}, "name: Text should have at most 256 characters."),
    (
        "set_app",
        {"form": [{"variable": "v", "label": "L", "kind": "number", "default": "x"}]},
        "form.0: the default doesn't fit: v in the input form must be a number.",
    ),
]
"""Routes, what to change in their bodies, and what is told then: words of JSON's, not Python's."""


def test_a_wrong_field_is_told_in_words_of_json(invoke: Invoke) -> None:
    for route, change, message in TOLD:
        error = refused(invoke(f"admin/{route}", fields=change), 400, "invalid_request")
        assert error["message"] == message


def test_a_body_that_is_not_said_to_be_json_is_told_so(invoke: Invoke) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    error = refused(invoke("admin/create_tenant", headers=form), 400, "invalid_request")
    assert "Content-Type" in error["message"]


# Tenants ---------------------------------------------------------------------------------------


def test_create_tenant_takes_one_on_that_has_no_models(invoke: Invoke) -> None:
    reply = invoke("admin/create_tenant")
    assert reply.status == 201
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json["id"] == "acme"
    assert reply.json["status"] == "active"
    assert reply.json["models"] == []
    refused(invoke("admin/create_tenant"), 409, "conflict")


def test_list_tenants_is_in_pages_by_id(invoke: Invoke) -> None:
    first = invoke("admin/list_tenants").json
    assert [tenant["id"] for tenant in first["tenants"]] == ["conformance", "demo"]
    assert first["has_more"] is True
    rest = invoke("admin/list_tenants", query={"after": "demo"}).json
    assert [tenant["id"] for tenant in rest["tenants"]] == ["limited", "neighbour"]
    assert rest["has_more"] is False


def test_get_tenant_shows_limits_and_models(invoke: Invoke) -> None:
    tenant = invoke("admin/get_tenant").json
    assert tenant["models"] == ["wesen-chat-v1", "smollm2-135m"]
    assert tenant["limits"]["requests_per_minute"] == 100
    assert tenant["limits"]["budget"] is None


def test_set_limits_changes_what_is_named_alone(invoke: Invoke) -> None:
    before = invoke("admin/get_tenant").json["limits"]
    changed = invoke("admin/set_limits").json["limits"]
    assert changed == before | {"requests_per_minute": 600, "budget": "25.00"}
    lifted = invoke("admin/set_limits", budget=None).json["limits"]
    assert lifted == changed | {"budget": None}


def test_set_turns_changes_what_is_named_alone(invoke: Invoke) -> None:
    before = invoke("admin/get_tenant").json["turns"]
    changed = invoke("admin/set_turns").json["turns"]
    assert changed == before | {"one_at_a_time": True}
    assert invoke("admin/get_tenant").json["turns"] == changed


def test_set_origins_replaces_all_of_them(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_ALLOWED_ORIGINS", "*")
    allowed = ["https://news.example:8443", "https://shop.example"]
    assert invoke("admin/get_tenant").json["origins"] == []
    assert invoke("admin/set_origins").json["origins"] == allowed
    assert invoke("admin/get_tenant").json["origins"] == allowed
    page = {"Origin": "https://shop.example"}
    answered = invoke("openai/list_models", headers=page).headers
    assert answered["access-control-allow-origin"] == "https://shop.example"
    assert invoke("admin/set_origins", origins=[]).json["origins"] == []


def test_get_budget_tells_what_is_spent_and_left(invoke: Invoke) -> None:
    without = invoke("admin/get_budget").json
    month = without.pop("month")
    assert without == {"budget": None, "spent": "0", "held": "0", "left": None}
    price = {"since": "2026-01-01", "prompt": 1, "completion": 2000}
    route = {"backend": "scripted", "model": "any", "prices": [price]}
    invoke("admin/set_models", fields={"small": [route], "large": [route]})
    invoke("admin/set_limits", budget="25.00")
    said = [{"role": "user", "content": 'script:[{"text": "Hello"}]'}]
    asked = invoke("openai/create_completion", model="small", messages=said, stream=False)
    assert asked.status == 200
    cost = Decimal(invoke("admin/get_usage", query={"tenant": "demo"}).json["total"]["cost"])
    standing = invoke("admin/get_budget").json
    assert (standing["month"], standing["budget"], standing["held"]) == (month, "25.00", "0")
    assert Decimal(standing["spent"]) == cost > 0
    assert Decimal(standing["left"]) == 25 - cost


def test_suspend_tenant_refuses_its_keys(invoke: Invoke) -> None:
    assert invoke("admin/suspend_tenant").json["status"] == "suspended"
    assert not accepted(invoke, "sk_test_demo")


def test_resume_tenant_accepts_them_again(invoke: Invoke) -> None:
    invoke("admin/suspend_tenant")
    assert invoke("admin/resume_tenant").json["status"] == "active"
    assert accepted(invoke, "sk_test_demo")


CHANGES = (
    *("set_limits", "set_turns", "set_origins", "suspend_tenant", "resume_tenant"),
    *("create_key", "rotate_key", "set_models", "set_app", "load_catalogue"),
    *("create_persona", "edit_persona", "submit_persona", "roll_back_persona"),
)
"""Routes that give a tenant something, which must not be there once it is gone."""


def test_delete_tenant_begins_what_the_worker_ends(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke: Invoke,
    clients: Clients,
    talked: ConversationId,
) -> None:
    demo = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert demo is not None
    long_ago = replace(demo, suspended_at=NOW)  # nobody is to be waited for
    loop.run_until_complete(services.directory.put_tenant(long_ago))

    begun = invoke("admin/delete_tenant")

    assert begun.status == 202
    assert int(begun.headers["retry-after"]) > 0
    assert begun.json["status"] == invoke("admin/get_tenant").json["status"] == "deleting"
    for change in CHANGES:
        refused(invoke(f"admin/{change}"), 409, "conflict")
    [event] = clients.invoked
    assert event["erase"] == {"tenant": "demo", "user": None}
    erase(**event["erase"])
    refused(invoke("admin/get_tenant"), 404, "not_found")
    refused(invoke("admin/delete_tenant"), 404, "not_found")
    left = [
        item
        for table in boto3.client("dynamodb").list_tables()["TableNames"]
        for item in boto3.client("dynamodb").scan(TableName=table)["Items"]
        if "demo" in json.dumps(item["pk"])
    ]
    assert left == []


def test_erase_does_nothing_where_it_was_done_before(
    services: bootstrap.Services, lines: Lines
) -> None:
    erase(tenant="nobody", user=None)
    [line] = lines.of("consumer")
    assert line["tenant"] == "nobody"
    assert "error.type" not in line


def test_erase_that_comes_late_leaves_a_new_tenant_of_that_name_alone(invoke: Invoke) -> None:
    erase(tenant="demo", user=None)
    assert invoke("admin/get_tenant").json["status"] == "active"


def test_erase_belongs_to_the_trace_of_the_request(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    lines: Lines,
    talked: ConversationId,
) -> None:
    erase(tenant="demo", user="user-81")
    event = event_of("erase")
    [line] = lines.of("consumer")
    assert line["trace_id"] == event["traceparent"].split("-")[1]
    assert "user-81" not in lines.text


# Keys ------------------------------------------------------------------------------------------


def test_create_key_shows_its_text_this_once(invoke: Invoke) -> None:
    reply = invoke("admin/create_key")
    assert reply.status == 201
    key = reply.json
    assert key["key"].startswith("sk_prod_")
    assert key["scopes"] == ["openai", "sessions"]
    assert key["default_persona"] == "my-alias"
    assert key["expires_at"] == "2099-12-31T00:00:00Z"
    assert accepted(invoke, key["key"])
    assert key["key"] not in invoke("admin/list_keys").text


def test_list_keys_is_by_time_of_creation(invoke: Invoke) -> None:
    made = invoke("admin/create_key").json
    keys = invoke("admin/list_keys").json["keys"]
    assert {key["id"] for key in keys} == {"key_test_demo", "key_prod_demo", made["id"]}
    assert keys[-1] == {name: value for name, value in made.items() if name != "key"}


def test_set_key_limits_are_the_key_s_own(invoke: Invoke) -> None:
    changed = invoke("admin/set_key_limits").json
    assert changed["limits"]["concurrent_turns"] == 4
    assert changed["limits"]["requests_per_minute"] is None
    lifted = invoke("admin/set_key_limits", concurrent_turns=None).json["limits"]
    assert lifted == dict.fromkeys(changed["limits"])


def test_rotate_key_makes_another_and_lets_the_first_expire(invoke: Invoke) -> None:
    reply = invoke("admin/rotate_key")
    assert reply.status == 201
    new, old = reply.json, reply.json["replaces"]
    assert old["id"] == "key_test_demo"
    assert old["status"] == "active"
    assert old["expires_at"] is not None
    assert new["default_persona"] == "my-alias"
    assert accepted(invoke, new["key"])
    assert accepted(invoke, "sk_test_demo")


def test_revoke_key_refuses_it(invoke: Invoke) -> None:
    assert invoke("admin/revoke_key").json["status"] == "revoked"
    assert not accepted(invoke, "sk_test_demo")
    assert accepted(invoke, "sk_prod_demo")
    refused(invoke("admin/rotate_key"), 409, "conflict")


# Models, personas, the app, the catalogue ------------------------------------------------------


def test_get_models_answers_with_what_set_models_takes(invoke: Invoke) -> None:
    invoke("admin/set_models")
    shown = invoke("admin/get_models").json
    assert list(shown) == ["small", "large"]
    assert [route["backend"] for route in shown["large"]] == ["bedrock", "embedded"]
    assert invoke("admin/set_models", fields=shown).json == shown


def test_set_models_names_the_lines_that_are_wrong(
    services: bootstrap.Services, invoke: Invoke
) -> None:
    event = event_of("set_models")
    event["body"] = (
        '{\n  "a": [\n    {"backend": "steam", "model": "m"}\n  ],\n  "b": [{"model": 7}]\n}'
    )
    answer = importlib.import_module("functions.admin.app").handler(event, Context())
    assert answer["statusCode"] == 400
    error = json.loads(answer["body"])["error"]
    assert error["code"] == "invalid_routes"
    assert {mistake["line"] for mistake in error["mistakes"]} == {3, 5}
    assert error["message"].startswith("line 3: ")
    assert list(invoke("admin/get_models").json) == ["wesen-chat-v1", "smollm2-135m"]


def test_create_persona_puts_nothing_into_production(invoke: Invoke) -> None:
    reply = invoke("admin/create_persona")
    assert reply.status == 201
    assert (reply.json["alias"], reply.json["production"]) == ("guide", None)
    refused(invoke("admin/create_persona"), 409, "conflict")


def test_list_personas_leaves_contents_out(invoke: Invoke) -> None:
    personas = invoke("admin/list_personas").json["personas"]
    assert [persona["alias"] for persona in personas] == ["my-alias", "coffee-expert"]
    assert all("content" not in persona for persona in personas)


def test_get_persona_shows_the_work_in_progress_or_a_version(invoke: Invoke) -> None:
    invoke("admin/edit_persona")
    version = invoke("admin/get_persona").json
    progress = invoke("admin/get_persona", query=None).json
    assert (version["version"], progress["version"]) == (1, None)
    assert version["content"] != progress["content"]
    refused(invoke("admin/get_persona", query={"version": "9"}), 404, "persona_not_found")


def test_edit_persona_leaves_production_as_it_is(invoke: Invoke) -> None:
    edited = invoke("admin/edit_persona").json
    assert edited["production"] == 1
    assert edited["content"]["system_prompt"].endswith("Answer at length.")


def test_submit_persona_puts_it_into_production(invoke: Invoke) -> None:
    assert invoke("admin/submit_persona").json["production"] == 2
    assert invoke("admin/submit_persona").json["production"] == 3


def test_roll_back_persona_repeats_a_version_under_a_new_number(invoke: Invoke) -> None:
    refused(invoke("admin/roll_back_persona"), 409, "conflict")
    invoke("admin/edit_persona")
    invoke("admin/submit_persona")
    assert invoke("admin/roll_back_persona").json["production"] == 3
    first, third = (
        invoke("admin/get_persona", query={"version": number}).json["content"] for number in "13"
    )
    assert first == third


def test_get_app_answers_with_what_set_app_takes(invoke: Invoke) -> None:
    shown = invoke("admin/get_app").json
    assert shown["form"]
    assert invoke("admin/set_app", fields=shown).json == shown


def test_set_app_replaces_it(invoke: Invoke) -> None:
    invoke("admin/set_app")
    assert invoke("admin/get_app").json["name"] == "Reading circle"


def test_get_catalogue_says_how_much_is_in_it(invoke: Invoke) -> None:
    assert invoke("admin/get_catalogue").json["size"] > 1


def test_load_catalogue_replaces_it_as_a_whole(invoke: Invoke) -> None:
    before = invoke("admin/get_catalogue").json
    loaded = invoke("admin/load_catalogue").json
    assert (loaded["size"], invoke("admin/get_catalogue").json) == (1, loaded)
    assert loaded["version"] != before["version"]
    assert invoke("admin/load_catalogue").json == loaded


def test_load_catalogue_names_the_product_that_is_wrong(invoke: Invoke) -> None:
    before = invoke("admin/get_catalogue").json
    event = event_of("load_catalogue")
    [tent] = json.loads(event["body"])["products"]
    wrong = invoke("admin/load_catalogue", products=[tent, tent | {"id": 2, "price": -1}])
    assert refused(wrong, 400, "invalid_request")["param"] == "products.1.price"
    twice = invoke("admin/load_catalogue", products=[tent, tent])
    assert "one id" in refused(twice, 400, "invalid_request")["message"]
    no_text = invoke("admin/load_catalogue", products=[tent | {"description": "a\0b"}])
    assert refused(no_text, 400, "invalid_request")["param"] == "products.0.description"
    many = [tent | {"id": number} for number in range(1, 202)]
    assert (
        "200"
        in refused(invoke("admin/load_catalogue", products=many), 400, "invalid_request")["message"]
    )
    assert invoke("admin/get_catalogue").json == before


# People and usage ------------------------------------------------------------------------------


def test_list_conversations_shows_them_without_what_was_said(
    invoke: Invoke, talked: ConversationId
) -> None:
    reply = invoke("admin/list_conversations")
    [conversation] = reply.json["conversations"]
    assert (conversation["id"], conversation["message_count"]) == (str(talked), 2)
    assert reply.json["has_more"] is False
    after = {"user": "user-81", "after": str(talked)}
    assert invoke("admin/list_conversations", query=after).json["conversations"] == []
    refused(invoke("admin/list_conversations", query=None), 400, "invalid_request")


def test_export_user_hands_out_all_of_it_in_lines(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke: Invoke,
    talked: ConversationId,
) -> None:
    basics = services.basics
    completions = DynamoCompletions(basics.database, basics.tables)
    loop.run_until_complete(completions.keep(kept()))
    reply = invoke("admin/export_user")
    assert reply.headers["content-type"].startswith("application/jsonl")
    assert "x-next-cursor" not in reply.headers
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [line["type"] for line in lines] == ["conversation", "message", "message", "completion"]
    assert lines[1]["text"] == "ሰላም!"


def test_export_user_goes_on_where_a_page_has_ended(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke: Invoke,
    talked: ConversationId,
) -> None:
    """Whatever a page ends with, and without a page over what Lambda can answer with."""
    scope = Scope("demo", "user-81")
    conversation = loop.run_until_complete(services.store.get(scope, talked))
    for text in ("ሀ" * 700_000, '"' * 900_000, "a"):
        loop.run_until_complete(
            services.store.append_turn(conversation, text=text, model="any", at=NOW)
        )
    other = replace(conversation, id=ConversationId(4712), message_count=0)
    loop.run_until_complete(services.store.create(other))
    basics = services.basics
    completions = DynamoCompletions(basics.database, basics.tables)
    loop.run_until_complete(completions.keep(kept("r" * 3_000_000)))
    pages, told, query = 0, [], {"user": "user-81"}
    while query:
        reply = invoke("admin/export_user", query=query)
        assert len(json.dumps(reply.text)) <= 5 * 1024 * 1024
        told += [json.loads(line) for line in reply.text.splitlines()]
        pages += 1
        ends = reply.headers.get("x-next-cursor")
        query = {"user": "user-81", "cursor": ends} if ends else {}
    assert pages > 1
    assert [line["type"] for line in told] == [
        "conversation",
        *["message"] * 8,
        "conversation",
        "completion",
    ]
    assert len({(line["type"], line["id"]) for line in told}) == len(told)


def test_export_user_says_what_does_not_fit_any_page(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke: Invoke,
    talked: ConversationId,
) -> None:
    conversation = loop.run_until_complete(services.store.get(Scope("demo", "user-81"), talked))
    text = "ሀ" * 1_000_000
    loop.run_until_complete(
        services.store.append_turn(conversation, text=text, model="any", at=NOW)
    )
    lines = [json.loads(line) for line in invoke("admin/export_user").text.splitlines()]
    assert [line["type"] for line in lines] == [
        "conversation",
        "message",
        "message",
        "omitted",
        "message",
    ]
    assert lines[3]["of"] == "message"
    assert lines[3]["bytes"] > 3_000_000


def test_export_user_refuses_a_cursor_that_it_never_gave(invoke: Invoke) -> None:
    for cursor in ["x", "c", "1", "1.2.3", "-1.0", "c99999999999999999", "1.1;", "१.१"]:
        reply = invoke("admin/export_user", query={"user": "user-81", "cursor": cursor})
        assert refused(reply, 400, "invalid_request")["param"] == "cursor"


def test_export_user_takes_no_other_user_s_cursor(invoke: Invoke, talked: ConversationId) -> None:
    query = {"user": "somebody", "cursor": f"{talked.number}.1"}
    refused(invoke("admin/export_user", query=query), 404, "not_found")


def test_delete_user_removes_what_is_stored_of_one(
    invoke: Invoke, talked: ConversationId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.admin.delete_user.PATIENCE_SECONDS", 600)
    assert invoke("admin/delete_user").json == {
        "tenant": "demo",
        "conversations": 1,
        "completions": 0,
        "ledger_lines": 0,
    }
    assert invoke("admin/export_user").text == ""
    assert invoke("admin/delete_user").json["conversations"] == 0


def test_delete_user_hands_over_what_takes_too_long(
    invoke: Invoke,
    clients: Clients,
    talked: ConversationId,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("functions.admin.delete_user.PATIENCE_SECONDS", 0)
    reply = invoke("admin/delete_user")
    assert (reply.status, reply.json["status"]) == (202, "deleting")
    assert int(reply.headers["retry-after"]) > 0
    [event] = clients.invoked
    erase(**event["erase"])
    assert invoke("admin/export_user").text == ""


def test_get_usage_sums_by_what_is_asked_for(invoke: Invoke) -> None:
    said = [{"role": "user", "content": 'script:[{"text": "Hello"}]'}]
    invoke("openai/create_completion", messages=said, stream=False, user="ada")
    report = invoke("admin/get_usage").json
    [row] = report["rows"]
    assert (row["user"], row["model"], row["turns"]) == ("ada", "wesen-chat-v1", 1)
    assert report["total"]["prompt_tokens"] == row["prompt_tokens"] > 0
    assert invoke("admin/get_usage", query={"by": "tenant"}).json["rows"][0]["tenant"] == "demo"


def test_get_usage_refuses_what_it_can_not_report(invoke: Invoke) -> None:
    for query, param in [
        ({"by": "mood"}, "by"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "since"),
        ({"since": "1990-01-01"}, "since"),
        ({"until": "0001-01-01"}, "since"),
    ]:
        reply = invoke("admin/get_usage", query=query)
        assert refused(reply, 400, "invalid_request")["param"] == param


def test_get_usage_has_no_more_rows_than_fit(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("openai/create_completion", stream=False)
    monkeypatch.setattr("parley.dialects.admin.codec.MAX_ROWS", 0)
    assert refused(invoke("admin/get_usage"), 400, "invalid_request")["param"] == "by"
