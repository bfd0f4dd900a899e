"""Every route of the apps dialect, through the deployed entry point and its event file."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from parley import bootstrap
from parley.domain.apps import App, InputField, InputKind
from parley.domain.conversations import Conversation, Scope
from parley.domain.ids import ConversationId, MessageId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Tenant
from tests.routes.conftest import NOW, Invoke, Reply

USER = "abc-123"
ALIAS = "1c7e55fb-1ba2-4e10-81b5-30addcea2276"
"""The id of the conversation that event files name, as another system gave it."""

CONVERSATION = ConversationId(4712)
MESSAGE = str(MessageId(CONVERSATION, 2))
"""The message that event files name: the first of that conversation."""

APP = App(
    name="Guide",
    description="Shows people around.",
    author="Parley",
    tags=("travel",),
    prompt_template="You show {{ guest }} around {{city}}. {{unknown}}",
    form=(
        InputField(variable="guest", label="Guest", required=True, max_length=10),
        InputField(variable="city", label="City", kind=InputKind.SELECT, options=("Axum", "Harar")),
        InputField(variable="days", label="Days", kind=InputKind.NUMBER, default="2"),
    ),
    opening_statement="Welcome to {{city}}!",
    suggested_questions=("What is there to see?",),
    suggests_after_answer=True,
    model="wesen-chat-v1",
)

FILLED = {"guest": "Lucy", "city": "Axum"}


@pytest.fixture
def conversation(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> Conversation:
    """The conversation that event files name, without messages."""
    made = Conversation(
        id=CONVERSATION, tenant="demo", user=USER, created_at=NOW, updated_at=NOW, alias=ALIAS
    )
    loop.run_until_complete(services.store.create(made))
    return made


@pytest.fixture(autouse=True)
def no_app(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> None:
    """The demo tenant has an app without a form."""
    loop.run_until_complete(services.directory.put_app("demo", App()))


@pytest.fixture
def app(no_app: None, services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> App:
    """An app with a form."""
    loop.run_until_complete(services.directory.put_app("demo", APP))
    return APP


def ask(
    invoke: Invoke, question: str = "eh", headers: Mapping[str, str] | None = None, **body: Any
) -> Reply:
    """Ask in the conversation of the event file, at once."""
    fields = {"query": question, "response_mode": "blocking"} | body
    return invoke("apps/create_message", headers=headers, fields=fields)


def begin(invoke: Invoke, question: str = "eh", **body: Any) -> Reply:
    """Ask in a new conversation."""
    return ask(invoke, question, **{"conversation_id": ""} | body)


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


def events(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]


def refusal(reply: Reply) -> tuple[int, str, str | None]:
    assert reply.json.keys() >= {"code", "message", "status"}
    assert reply.json["status"] == reply.status
    return reply.status, reply.json["code"], reply.json.get("params")


def test_create_message_begins_a_conversation_and_answers_at_once(invoke: Invoke) -> None:
    reply = begin(invoke, script({"text": "Hi "}, {"text": "there"}), response_mode=None)
    assert reply.status == 200
    answer = reply.json
    assert (answer["event"], answer["mode"], answer["answer"]) == ("message", "chat", "Hi there")
    assert answer["id"] == answer["message_id"] == answer["task_id"]
    usage = answer["metadata"]["usage"]
    assert usage["completion_tokens"] == 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + 2
    assert usage["total_price"] == "0"
    assert answer["metadata"]["retriever_resources"] == []
    [listed] = invoke("apps/list_conversations").json["data"]
    assert listed["id"] == answer["conversation_id"]


def test_create_message_streams_in_the_conversation_another_system_named(
    invoke: Invoke, conversation: Conversation
) -> None:
    reply = ask(invoke, script({"text": "ሰላም "}, {"text": "👋"}), response_mode="streaming")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    *deltas, end = events(reply)
    assert [event["event"] for event in deltas] == ["message", "message"]
    assert "".join(event["answer"] for event in deltas) == "ሰላም 👋"
    assert end["event"] == "message_end"
    assert end["answer"] == ""
    assert end["metadata"]["usage"]["completion_tokens"] == 2
    assert end["metadata"]["retriever_resources"] == end["retriever_resources"] == []
    for event in (*deltas, end):
        assert event["conversation_id"] == ALIAS
        assert event["id"] == event["message_id"] == event["task_id"] == MESSAGE
        assert event["created_at"] > 0


def test_create_message_continues_a_conversation_by_its_own_id(
    invoke: Invoke, conversation: Conversation
) -> None:
    reply = begin(invoke, conversation_id=str(CONVERSATION))
    assert reply.status == 200
    assert reply.json["conversation_id"] == str(CONVERSATION)
    assert reply.json["id"] == MESSAGE


def test_create_message_fills_the_form_into_the_prompt(invoke: Invoke, app: App) -> None:
    reply = begin(
        invoke,
        script({"echo": "request"}),
        inputs=FILLED | {"guest": "{{city}}", "unknown": "x"},
    )
    told = json.loads(reply.json["answer"])["messages"]
    assert told[0] == {"role": "system", "text": "You show {{city}} around Axum. {{unknown}}"}
    [listed] = invoke("apps/list_conversations").json["data"]
    assert listed["inputs"] == {"guest": "{{city}}", "city": "Axum", "days": 2}
    assert listed["introduction"] == "Welcome to Axum!"
    again = begin(
        invoke,
        script({"echo": "request"}),
        conversation_id=reply.json["conversation_id"],
        inputs=FILLED,
    )
    assert json.loads(again.json["answer"])["messages"][0] == told[0]


@pytest.mark.parametrize(
    ("inputs", "params"),
    [
        ({}, "inputs.guest"),
        ({"guest": ""}, "inputs.guest"),
        ({"guest": "L" * 11}, "inputs.guest"),
        ({"guest": 7}, "inputs.guest"),
        ({"guest": "Lucy", "city": "Rome"}, "inputs.city"),
        ({"guest": "Lucy", "days": "few"}, "inputs.days"),
        ({"guest": "Lucy", "days": 10**400}, "inputs.days"),
    ],
)
def test_create_message_refuses_a_wrong_input_by_name_and_begins_nothing(
    invoke: Invoke, app: App, inputs: dict[str, Any], params: str
) -> None:
    assert refusal(begin(invoke, inputs=inputs)) == (400, "invalid_param", params)
    assert invoke("apps/list_conversations").json["data"] == []


def test_create_message_refuses_what_it_cannot_do_by_name(invoke: Invoke) -> None:
    wrong = {
        "query": "",
        "response_mode": "later",
        "user": None,
        "files": [{"type": "image"}],
    }
    for field, value in wrong.items():
        reply = invoke("apps/create_message", fields={"conversation_id": "", field: value})
        assert refusal(reply) == (400, "invalid_param", field)
    assert begin(invoke, files=[]).status == begin(invoke, files=None).status == 200


def test_create_message_that_no_model_could_read_begins_nothing(invoke: Invoke) -> None:
    assert refusal(begin(invoke, "word " * 30_000))[:2] == (400, "invalid_param")
    assert invoke("apps/list_conversations").json["data"] == []


def test_create_message_tells_a_model_that_is_missing_from_one_that_fails(
    invoke: Invoke, services: bootstrap.Services, loop: asyncio.AbstractEventLoop
) -> None:
    reply = begin(invoke, script({"fail": "unavailable"}))
    assert refusal(reply) == (503, "completion_request_error", None)
    reply = begin(invoke, script({"text": "half"}, {"fail": "error"}), response_mode="streaming")
    assert reply.status == 200
    delta, error = events(reply)
    assert delta["answer"] == "half"
    assert (error["event"], error["status"]) == ("error", 502)
    assert (error["code"], error["message_id"]) == ("completion_request_error", delta["id"])
    loop.run_until_complete(services.directory.put_app("demo", replace(APP, model="missing")))
    assert refusal(begin(invoke, inputs=FILLED)) == (400, "app_unavailable", None)


def test_create_message_names_the_conversation_after_the_question(invoke: Invoke) -> None:
    begin(invoke, "Where \n did Axum's  traders go?")
    begin(invoke, "word " * 30)
    begin(invoke, "Anything?", auto_generate_name=False)
    names = [each["name"] for each in invoke("apps/list_conversations").json["data"]]
    assert names == [
        "New chat",
        "word word word word word word word word word…",
        "Where did Axum's traders go?",
    ]


@pytest.mark.parametrize("name", [ALIAS, str(CONVERSATION), str(ConversationId(1)), "never seen"])
def test_create_message_in_what_is_not_the_users_is_a_404(
    invoke: Invoke, conversation: Conversation, name: str
) -> None:
    assert refusal(begin(invoke, conversation_id=name, user="another")) == (404, "not_found", None)


def test_stop_message_ends_what_is_under_way_for_its_own_user_only(
    invoke: Invoke,
    services: bootstrap.Services,
    conversation: Conversation,
    loop: asyncio.AbstractEventLoop,
) -> None:
    loop.run_until_complete(
        services.store.append_turn(conversation, text="?", model="wesen-chat-v1", at=NOW)
    )
    task = MessageId(CONVERSATION, 2)
    assert refusal(invoke("apps/stop_message", user="another")) == (404, "not_found", None)
    assert not loop.run_until_complete(services.store.stop_requested("demo", task))
    assert refusal(invoke("apps/stop_message", user=None)) == (400, "invalid_param", "user")
    assert invoke("apps/stop_message").json == {"result": "success"}
    assert loop.run_until_complete(services.store.stop_requested("demo", task))


def test_list_messages_pages_from_the_newest_back(
    invoke: Invoke, conversation: Conversation
) -> None:
    asked = [ask(invoke, f"Question {number}?").json for number in range(5)]
    query = {"user": USER, "conversation_id": ALIAS, "limit": "2"}
    seen: list[dict[str, Any]] = []
    more = True
    while more:
        before = {"first_id": seen[0]["id"]} if seen else {}
        page = invoke("apps/list_messages", query=query | before).json
        assert page["limit"] == 2
        seen = page["data"] + seen
        more = page["has_more"]
    assert [message["id"] for message in seen] == [answer["id"] for answer in asked]
    assert [message["query"] for message in seen] == [f"Question {n}?" for n in range(5)]
    assert [message["answer"] for message in seen] == [answer["answer"] for answer in asked]
    assert seen[0]["parent_message_id"] is None
    assert seen[1]["parent_message_id"] == seen[0]["id"]
    for message in seen:
        assert message["conversation_id"] == ALIAS
        assert message["status"] == "normal"
        assert message["feedback"] is None
        assert message["retriever_resources"] == message["agent_thoughts"] == []
        assert message["username"] == USER
        assert message.keys() >= {"phone_number", "avatar_url", "display_name", "inputs"}


def test_list_messages_without_a_conversation_reads_the_newest_one(invoke: Invoke) -> None:
    assert invoke("apps/list_messages").json == {"limit": 20, "has_more": False, "data": []}
    begin(invoke, "Earlier?")
    latest = begin(invoke, "Later?").json
    for query in ({"user": USER}, {"user": USER, "conversation_id": ""}):
        [message] = invoke("apps/list_messages", query=query).json["data"]
        assert (message["query"], message["id"]) == ("Later?", latest["id"])


def test_list_messages_tells_a_failed_answer_from_a_whole_one(
    invoke: Invoke, conversation: Conversation
) -> None:
    ask(invoke, script({"text": "half"}, {"fail": "error"}))
    [message] = invoke("apps/list_messages").json["data"]
    assert (message["answer"], message["status"], message["error"]) == (
        "half",
        "error",
        "model_error",
    )


def test_list_messages_of_what_is_not_the_users_is_a_404(
    invoke: Invoke, conversation: Conversation
) -> None:
    elsewhere = begin(invoke).json["id"]
    for query in (
        {"user": "another", "conversation_id": ALIAS},
        {"user": USER, "conversation_id": "never seen"},
        {"user": USER, "conversation_id": ALIAS, "first_id": elsewhere},
        {"user": USER, "conversation_id": ALIAS, "first_id": "never seen"},
    ):
        assert refusal(invoke("apps/list_messages", query=query))[:2] == (404, "not_found")
    for limit in ("0", "101", "many"):
        query = {"user": USER, "limit": limit}
        refused = refusal(invoke("apps/list_messages", query=query))
        assert refused == (400, "invalid_param", "limit")


def test_rate_message_notes_an_opinion_and_takes_it_back(
    invoke: Invoke, conversation: Conversation
) -> None:
    ask(invoke, "Why?")
    for rating in ("like", "dislike", None):
        reply = invoke("apps/rate_message", rating=rating, content="Because.")
        assert reply.status == 200
        assert (reply.json["result"], reply.json["has_more"]) == ("success", False)
        [shown] = reply.json["data"]
        assert (shown["id"], shown["query"], shown["feedback"]) == (MESSAGE, "Why?", rating)
        [message] = invoke("apps/list_messages").json["data"]
        assert message["feedback"] == (rating and {"rating": rating})


def test_rate_message_refuses_a_stranger_and_an_unknown_opinion(
    invoke: Invoke, conversation: Conversation
) -> None:
    assert refusal(invoke("apps/rate_message"))[:2] == (404, "not_found")
    ask(invoke)
    assert refusal(invoke("apps/rate_message", user="another"))[:2] == (404, "not_found")
    refused = refusal(invoke("apps/rate_message", rating="meh"))
    assert refused == (400, "invalid_param", "rating")


def test_suggest_questions_asks_the_model(
    invoke: Invoke,
    conversation: Conversation,
    app: App,
    services: bootstrap.Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask(invoke, "Who built the obelisks?")
    reply = invoke("apps/suggest_questions")
    assert reply.status == 200
    assert reply.json["result"] == "success"
    assert isinstance(reply.json["data"], list)
    stranger = invoke("apps/suggest_questions", query={"user": "another"})
    assert refusal(stranger) == (404, "not_found", None)
    assert refusal(invoke("apps/suggest_questions", query=None))[2] == "user"


def test_suggest_questions_of_an_app_that_has_none_is_refused(
    invoke: Invoke, conversation: Conversation
) -> None:
    ask(invoke)
    assert refusal(invoke("apps/suggest_questions")) == (400, "bad_request", None)


def test_list_conversations_pages_from_the_newest_on(
    invoke: Invoke, conversation: Conversation
) -> None:
    made = [begin(invoke).json["conversation_id"] for _ in range(3)]
    newest_first = [*made[::-1], ALIAS]
    for cursor in ("last_id", "first_id"):
        seen: list[str] = []
        more = True
        while more:
            query = {"user": USER, "limit": "2"} | ({cursor: seen[-1]} if seen else {})
            page = invoke("apps/list_conversations", query=query).json
            assert page["limit"] == 2
            seen += [each["id"] for each in page["data"]]
            more = page["has_more"]
        assert seen == newest_first
    last = {"user": USER, "last_id": ALIAS}
    assert invoke("apps/list_conversations", query=last).json["data"] == []
    oldest = invoke("apps/list_conversations", query={"user": USER, "sort_by": "created_at"})
    assert [each["id"] for each in oldest.json["data"]] == newest_first[::-1]
    for each in oldest.json["data"]:
        assert each["status"] == "normal"
        assert each.keys() == {
            "id", "name", "inputs", "status", "introduction", "created_at", "updated_at"
        }  # fmt: skip


def test_list_conversations_knows_no_stranger(invoke: Invoke, conversation: Conversation) -> None:
    assert invoke("apps/list_conversations", query={"user": "another"}).json["data"] == []
    query = {"user": "another", "last_id": ALIAS}
    assert refusal(invoke("apps/list_conversations", query=query))[:2] == (404, "not_found")


def test_rename_conversation_takes_a_name_or_makes_one(
    invoke: Invoke, conversation: Conversation
) -> None:
    reply = invoke("apps/rename_conversation")
    assert reply.status == 200
    assert reply.json["result"] == "success"
    assert (reply.json["id"], reply.json["name"]) == (ALIAS, "Coffee ceremony")
    assert invoke("apps/list_conversations").json["data"][0]["name"] == "Coffee ceremony"
    refused = refusal(invoke("apps/rename_conversation", auto_generate=True))
    assert refused == (409, "conflict", None)
    ask(invoke, "How are beans roasted?")
    named = invoke("apps/rename_conversation", auto_generate=True, fields={"name": None}).json
    assert named["name"] == "How are beans roasted?"
    assert invoke("apps/list_conversations").json["data"][0]["name"] == named["name"]


def test_rename_conversation_refuses_a_stranger_and_a_missing_name(
    invoke: Invoke, conversation: Conversation
) -> None:
    assert refusal(invoke("apps/rename_conversation", user="another"))[:2] == (404, "not_found")
    refused = refusal(invoke("apps/rename_conversation", fields={"name": None}))
    assert refused == (400, "invalid_param", "name")


def test_rename_newest_conversation_needs_no_id(invoke: Invoke, conversation: Conversation) -> None:
    newest = begin(invoke, "How are beans roasted?").json["conversation_id"]
    reply = invoke("apps/rename_newest_conversation")
    assert (reply.status, reply.json["result"]) == (200, "success")
    assert (reply.json["id"], reply.json["name"]) == (newest, "New chat")
    stranger = invoke("apps/rename_newest_conversation", user="another")
    assert refusal(stranger)[:2] == (404, "not_found")


def test_delete_conversation_leaves_nothing_of_it(
    invoke: Invoke,
    conversation: Conversation,
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
) -> None:
    ask(invoke)
    assert refusal(invoke("apps/delete_conversation", user="another"))[:2] == (404, "not_found")
    reply = invoke("apps/delete_conversation")
    assert (reply.status, reply.json) == (200, {"result": "success"})
    assert invoke("apps/list_conversations").json["data"] == []
    assert refusal(ask(invoke))[:2] == (404, "not_found")
    assert refusal(invoke("apps/delete_conversation"))[:2] == (404, "not_found")
    found = services.store.find_alias(Scope("demo"), ALIAS)
    assert loop.run_until_complete(found) is None


def test_get_parameters_shows_the_form(invoke: Invoke, app: App) -> None:
    reply = invoke("apps/get_parameters")
    assert reply.status == 200
    assert reply.json["opening_statement"] == "Welcome to {{city}}!"
    assert reply.json["suggested_questions"] == ["What is there to see?"]
    assert reply.json["suggested_questions_after_answer"] == {"enabled": True}
    guest, city, days = reply.json["user_input_form"]
    assert guest["text-input"]["required"] is True
    assert guest["text-input"]["max_length"] == 10
    assert city["select"]["options"] == ["Axum", "Harar"]
    assert days["number"]["default"] == "2"
    assert reply.json["file_upload"]["image"]["enabled"] is False


def test_get_info_tells_what_the_app_is(invoke: Invoke, app: App) -> None:
    assert invoke("apps/get_info").json == {
        "name": "Guide",
        "description": "Shows people around.",
        "tags": ["travel"],
        "mode": "chat",
        "author_name": "Parley",
    }


def test_get_meta_has_no_icons(invoke: Invoke) -> None:
    assert invoke("apps/get_meta").json == {"tool_icons": {}}


def test_a_tenant_without_an_app_is_answered_without_a_form(
    invoke: Invoke, services: bootstrap.Services, loop: asyncio.AbstractEventLoop
) -> None:
    loop.run_until_complete(
        services.directory.put_tenant(
            Tenant(id="limited", created_at=NOW, models={"any": ModelRoute("scripted", "any")})
        )
    )
    limited = {"Authorization": "Bearer sk_test_limited"}
    assert invoke("apps/get_parameters", headers=limited).json["user_input_form"] == []
    assert invoke("apps/get_info", headers=limited).json["name"] == ""
    assert begin(invoke, inputs=FILLED, headers=limited).status == 200
    [listed] = invoke("apps/list_conversations", headers=limited).json["data"]
    assert (listed["inputs"], listed["introduction"]) == ({}, "")


def test_every_reply_tells_what_is_left_of_the_limit(invoke: Invoke) -> None:
    headers = invoke("apps/get_meta").headers
    assert headers["x-ratelimit-limit"] == "100"
    assert int(headers["x-ratelimit-remaining"]) < 100
    assert int(headers["x-ratelimit-reset"]) % 60 == 0


def test_a_refusal_has_difys_codes(invoke: Invoke) -> None:
    reply = invoke("apps/get_info", headers={"Authorization": "Bearer sk_test_wrong"})
    assert refusal(reply) == (401, "unauthorized", None)
