"""Every route of the tenant dialect, through the deployed entry point and its event file."""

import asyncio
from typing import Any

import pytest

from parley.bootstrap import Services
from parley.domain.tenants import Limits, Tenant
from tests.routes.conftest import CHAT, NOW, Invoke, Reply


def refused(reply: Reply, status: int, code: str) -> Any:
    """The details of an error, whose envelope is checked."""
    assert reply.status == status, reply.text
    assert set(reply.json) == {"error"}
    error = reply.json["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code
    assert error["message"]
    assert reply.headers["x-request-id"]
    return error["details"]


def test_create_chat_answers_with_the_new_chat(invoke: Invoke) -> None:
    reply = invoke("tenant/create_chat")
    assert reply.status == 201
    chat = reply.json
    assert chat["id"] == chat["chat_id"]
    assert chat["user_id"] == "user-81"
    assert chat["title"] == "My account"
    assert chat["metadata"] == {"source": "website", "tags": ["billing", "urgent"]}
    assert chat["message_count"] == 0
    assert chat["created_at"] == chat["updated_at"]


def test_create_chat_ignores_what_it_does_not_know(invoke: Invoke) -> None:
    reply = invoke("tenant/create_chat", mood="curious", title=None)
    assert reply.status == 201
    assert reply.json["title"] is None


def test_create_chat_names_a_wrong_parameter(invoke: Invoke) -> None:
    details = refused(invoke("tenant/create_chat", user_id=7), 400, "invalid_parameter")
    assert details["field"] == "user_id"
    assert details["suggestion"]


def test_create_chat_keeps_any_json_object_as_metadata(invoke: Invoke) -> None:
    metadata: dict[str, Any] = {
        "": None,
        "ቋንቋ": ["አማርኛ", {"level": 2.5, "fluent": True}],
        "control\u0001": "\u0000\u001b",
        "number": 2**53 - 1,
        "empty": [{}, []],
    }
    created = invoke("tenant/create_chat", metadata=metadata)
    assert created.json["metadata"] == metadata
    listed = invoke("tenant/list_user_chats").json["chats"]
    assert listed[0]["metadata"] == metadata


def nested(depth: int) -> dict[str, Any]:
    """An object of so many levels."""
    value: Any = {}
    for _ in range(depth - 1):
        value = {"deeper": value}
    return {"metadata": value}


@pytest.mark.parametrize(
    "metadata",
    [
        {"metadata": []},
        {"metadata": "text"},
        nested(17),
        nested(90),
        {"metadata": {"text": "x" * 16_384}},
        {"metadata": {"half": ["\ud800"]}},
        {"metadata": {"\udfff": 1}},
        {"metadata": {"number": float("nan")}},
        {"metadata": {"deep": [{"number": float("inf")}]}},
    ],
    ids=["list", "text", "17 levels", "90 levels", "large", "half", "half key", "NaN", "infinity"],
)
def test_create_chat_refuses_metadata_that_can_not_be_kept(
    invoke: Invoke, metadata: dict[str, Any]
) -> None:
    details = refused(invoke("tenant/create_chat", **metadata), 400, "invalid_parameter")
    assert details["field"] == "metadata"
    assert invoke("tenant/list_user_chats").json["total"] == 0


def test_create_chat_keeps_metadata_of_the_largest_size_and_depth(invoke: Invoke) -> None:
    assert invoke("tenant/create_chat", **nested(16)).status == 201
    largest = {"text": "x" * (16_384 - len('{"text":""}'))}
    assert invoke("tenant/create_chat", metadata=largest).json["metadata"] == largest


def test_create_chat_refuses_an_unknown_model(invoke: Invoke) -> None:
    reply = invoke("tenant/create_chat", model="gpt-none")
    assert refused(reply, 404, "model_not_found")["field"] == "model"
    assert invoke("tenant/list_user_chats").json["chats"] == []


def test_list_user_chats_pages_in_both_directions(invoke: Invoke, stored_chat: str) -> None:
    created = [stored_chat, *(invoke("tenant/create_chat").json["id"] for _ in range(4))]
    first = invoke("tenant/list_user_chats").json
    assert [chat["chat_id"] for chat in first["chats"]] == created[:2:-1]
    assert {name: first[name] for name in ("total", "offset", "limit", "has_more")} == {
        "total": 5,
        "offset": 0,
        "limit": 2,
        "has_more": True,
    }
    last = invoke("tenant/list_user_chats", query={"offset": "4"}).json
    assert [chat["chat_id"] for chat in last["chats"]] == [stored_chat]
    assert (last["offset"], last["limit"], last["has_more"]) == (4, 50, False)
    oldest = invoke("tenant/list_user_chats", query={"order": "asc", "limit": "5"}).json
    assert [chat["chat_id"] for chat in oldest["chats"]] == created
    assert oldest["has_more"] is False
    behind = invoke("tenant/list_user_chats", query={"offset": str(2**53 - 1)}).json
    assert (behind["chats"], behind["total"], behind["has_more"]) == ([], 5, False)


def test_get_chat_describes_it(invoke: Invoke, stored_chat: str) -> None:
    reply = invoke("tenant/get_chat")
    assert reply.status == 200
    assert reply.json["id"] == reply.json["chat_id"] == stored_chat == CHAT


def test_get_chat_of_none_suggests_to_create_one(invoke: Invoke) -> None:
    details = refused(invoke("tenant/get_chat"), 404, "chat_not_found")
    assert "POST /api/v1/chats" in details["suggestion"]


def test_list_messages_pages_in_both_directions(invoke: Invoke, stored_chat: str) -> None:
    for _ in range(3):
        assert invoke("sessions/send_message").status == 201
    newest = invoke("tenant/list_messages").json
    assert [message["role"] for message in newest["messages"]] == ["assistant", "user"]
    assert {name: newest[name] for name in newest if name != "messages"} == {
        "total": 6,
        "offset": 0,
        "limit": 2,
        "has_more": True,
    }
    everything = invoke("tenant/list_messages", query=None).json
    assert (everything["limit"], everything["has_more"]) == (50, False)
    messages = everything["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 3
    assert {message["chat_id"] for message in messages} == {stored_chat}
    assert all(message["id"] == message["message_id"] for message in messages)
    pages = [
        message
        for offset in range(0, 6, 2)
        for message in invoke(
            "tenant/list_messages", query={"offset": str(offset), "limit": "2"}
        ).json["messages"]
    ]
    assert pages == messages


def test_list_messages_tells_how_a_reply_ended(invoke: Invoke, stored_chat: str) -> None:
    script = 'script:[{"text": "half"}, {"fail": "error"}]'
    assert invoke("sessions/send_message", content=script).status == 502
    invoke("sessions/send_message", content='script:[{"text": "whole"}]')
    failed, whole = invoke("tenant/list_messages", query=None).json["messages"][1::2]
    assert (failed["content"], failed["status"], failed["error"]) == (
        "half",
        "failed",
        "model_error",
    )
    assert (whole["content"], whole["status"], whole["finish_reason"], whole["error"]) == (
        "whole",
        "completed",
        "stop",
        None,
    )
    assert whole["usage"]["total_tokens"] == (
        whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]
    )


def test_list_messages_shows_calls_and_their_results(invoke: Invoke, stored_chat: str) -> None:
    script = 'script:[{"call": "look", "arguments": {"x": 1}}]'
    (call,) = invoke("sessions/send_message", content=script).json["toolCalls"]
    results = [{"toolCallId": call["id"], "content": "A castle."}]
    assert invoke("sessions/send_message", role="tool", toolResults=results).status == 201
    messages = invoke("tenant/list_messages", query=None).json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    _, asked, given, _ = messages
    assert (asked["content"], given["content"]) == ("", "")
    assert asked["tool_calls"] == [{"id": call["id"], "name": "look", "arguments": '{"x": 1}'}]
    assert given["tool_results"] == [{"tool_call_id": call["id"], "content": "A castle."}]
    assert asked["tool_results"] == given["tool_calls"] == []


def test_list_messages_says_that_there_is_more_when_size_ends_a_page(
    invoke: Invoke, services: Services, stored_chat: str
) -> None:
    services.models.backend("scripted").context_window = 10_000_000
    script = 'script:[{"text": "' + "r" * 900_000 + '", "repeat": 3}]'
    for _ in range(2):
        assert invoke("sessions/send_message", content=script).status == 201
    first = invoke("tenant/list_messages", query=None).json
    assert first["has_more"] is True
    assert first["total"] == 4
    seen = first["messages"]
    while first["has_more"]:
        first = invoke("tenant/list_messages", query={"offset": str(len(seen))}).json
        seen += first["messages"]
    assert [message["role"] for message in seen] == ["user", "assistant"] * 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "1.5"}, "offset"),
        ({"order": "newest"}, "order"),
    ],
)
@pytest.mark.parametrize("route", ["tenant/list_messages", "tenant/list_user_chats"])
def test_list_messages_and_chats_refuse_a_page_that_there_can_not_be(
    invoke: Invoke, stored_chat: str, route: str, query: dict[str, str], field: str
) -> None:
    details = refused(invoke(route, query=query), 400, "invalid_parameter")
    assert details["field"] == field


def test_delete_chat_leaves_nothing_of_it(invoke: Invoke, stored_chat: str) -> None:
    invoke("sessions/send_message")
    reply = invoke("tenant/delete_chat")
    assert reply.status == 200
    assert reply.json["success"] is True
    assert reply.json["chat_id"] == stored_chat
    for route in ("get_chat", "list_messages", "delete_chat"):
        refused(invoke(f"tenant/{route}"), 404, "chat_not_found")
    assert invoke("sessions/get_chat").status == 404
    assert invoke("tenant/list_user_chats").json["total"] == 0


def test_an_unknown_key_is_refused_in_the_dialects_words(invoke: Invoke) -> None:
    reply = invoke("tenant/get_chat", headers={"X-API-Key": "sk_test_wrong"})
    assert refused(reply, 401, "invalid_api_key")["suggestion"]
    assert not any(name.startswith("x-ratelimit") for name in reply.headers)


def test_every_reply_tells_what_is_left_of_the_minute(
    invoke: Invoke, services: Services, loop: asyncio.AbstractEventLoop
) -> None:
    """Also those that refuse; the third of two allowed ones is told when to come back."""
    limited = Tenant(id="demo", created_at=NOW, limits=Limits(requests_per_minute=2))
    loop.run_until_complete(services.directory.put_tenant(limited))
    replies = [invoke("tenant/list_user_chats")]
    while replies[-1].status != 429:
        replies.append(invoke("tenant/get_chat"))
    end = replies[-1].headers["x-ratelimit-reset"]  # a minute may have begun between two requests
    minute = [reply for reply in replies if reply.headers["x-ratelimit-reset"] == end]
    assert [reply.headers["x-ratelimit-remaining"] for reply in minute] == ["1", "0", "0"]
    assert {reply.headers["x-ratelimit-limit"] for reply in minute} == {"2"}
    assert int(end) % 60 == 0
    last = minute[-1]
    assert 1 <= int(last.headers["retry-after"]) <= 60
    details = refused(last, 429, "rate_limit_exceeded")
    assert details["retry_after"] == int(last.headers["retry-after"])
