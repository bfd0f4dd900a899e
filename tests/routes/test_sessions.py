"""Every route of the sessions dialect, through the deployed entry point and its event file."""

import json
from asyncio import AbstractEventLoop
from datetime import UTC, datetime
from typing import Any

import pytest

from parley.bootstrap import Services
from parley.domain.conversations import Scope
from parley.domain.ids import ConversationId
from tests.routes.conftest import CHAT, Invoke, Reply
from tests.support.sse import data


def test_create_chat_answers_with_the_new_chat(invoke: Invoke) -> None:
    reply = invoke("sessions/create_chat")
    assert reply.status == 201
    assert reply.json["title"] == "Coffee ceremony"
    assert reply.json["systemPrompt"] == "You know all about Ethiopian coffee."
    assert reply.json["model"] == "wesen-chat-v1"
    assert reply.json["user"] == "user-81"
    assert reply.json["metadata"] == {"source": "web"}
    assert reply.json["messageCount"] == 0


def test_list_chats_shows_what_was_just_created_first(invoke: Invoke, stored_chat: str) -> None:
    created = [invoke("sessions/create_chat").json["id"] for _ in range(2)]
    reply = invoke("sessions/list_chats")
    assert reply.status == 200
    assert [chat["id"] for chat in reply.json["data"]] == created[::-1]
    assert reply.json["hasMore"] is True
    rest = invoke("sessions/list_chats", query={"user": "user-81", "after": created[0]})
    assert [chat["id"] for chat in rest.json["data"]] == [stored_chat]
    assert rest.json["hasMore"] is False


def test_get_chat_describes_it(invoke: Invoke, stored_chat: str) -> None:
    reply = invoke("sessions/get_chat")
    assert reply.status == 200
    assert reply.json["id"] == stored_chat == CHAT


def test_get_chat_shows_metadata_that_another_dialect_nested(invoke: Invoke) -> None:
    created = invoke("tenant/create_chat").json["id"]
    [listed] = invoke("sessions/list_chats").json["data"]
    assert listed["id"] == created
    assert listed["metadata"] == {"source": "website", "tags": '["billing", "urgent"]'}


def test_delete_chat_leaves_nothing_of_it(invoke: Invoke, stored_chat: str) -> None:
    invoke("sessions/send_message")
    reply = invoke("sessions/delete_chat")
    assert reply.status == 200
    assert reply.json == {"id": stored_chat, "object": "chat.deleted", "deleted": True}
    assert invoke("sessions/get_chat").status == 404
    assert invoke("sessions/get_history").status == 404
    assert invoke("sessions/send_message").status == 404
    assert invoke("sessions/delete_chat").status == 404
    assert invoke("sessions/list_chats").json["data"] == []


def test_send_message_answers_with_the_assistants_message(invoke: Invoke, stored_chat: str) -> None:
    reply = invoke("sessions/send_message")
    assert reply.status == 201
    assert reply.json["role"] == "assistant"
    assert reply.json["status"] == "completed"
    assert reply.json["chatId"] == stored_chat
    assert reply.json["content"]
    assert reply.json["usage"]["completionTokens"] > 0


def test_send_message_streams_the_stored_message(invoke: Invoke, stored_chat: str) -> None:
    reply = invoke("sessions/send_message", stream=True)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("data: [DONE]\n\n")
    stored = invoke("sessions/get_history").json["messages"][0]
    assert f'"id":"{stored["id"]}"' in reply.text
    assert f'"chatId":"{stored_chat}"' in reply.text


def test_get_history_pages_in_both_directions(invoke: Invoke, stored_chat: str) -> None:
    for _ in range(3):
        assert invoke("sessions/send_message").status == 201
    newest = invoke("sessions/get_history").json
    assert [message["role"] for message in newest["messages"]] == ["assistant", "user"]
    assert (newest["total"], newest["offset"], newest["limit"]) == (6, 0, 2)
    assert newest["hasMore"] is True
    everything = invoke("sessions/get_history", query=None).json["messages"]
    assert [message["role"] for message in everything] == ["user", "assistant"] * 3
    pages = [
        message
        for offset in range(0, 6, 2)
        for message in invoke(
            "sessions/get_history", query={"offset": str(offset), "limit": "2"}
        ).json["messages"]
    ]
    assert pages == everything


def test_get_history_shows_thoughts_and_calls(invoke: Invoke, stored_chat: str) -> None:
    steps = [{"think": "Hm."}, {"call": "f", "arguments": {"x": 1}}]
    sent = invoke("sessions/send_message", content=f"script:{json.dumps(steps)}").json
    assert sent["reasoning"] == "Hm."
    (call,) = sent["toolCalls"]
    assert call["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert invoke("sessions/get_history", query=None).json["messages"][-1] == sent


def stream(invoke: Invoke, content: str, **body: Any) -> Reply:
    """A streamed message in the chat of the event files; its turn is the one they name."""
    reply = invoke("sessions/send_message", content=content, stream=True, **body)
    assert reply.status == 200
    return reply


def test_resume_turn_tells_what_is_missing_to_the_byte(invoke: Invoke, stored_chat: str) -> None:
    told = stream(invoke, 'script:[{"text": "ሰላም "}, {"think": "Hm."}, {"text": "👋"}]')
    events = [f"{event}\n\n" for event in told.text.split("\n\n")[:-1]]
    for received in range(len(events) + 2):
        rest = invoke("sessions/resume_turn", query={"starting_after": str(received)})
        assert rest.status == 200
        assert rest.headers["content-type"] == told.headers["content-type"]
        assert rest.headers["x-parley-turn"] == told.headers["x-parley-turn"]
        assert rest.text == "".join(events[received:])


def test_resume_turn_takes_the_browsers_header_unless_the_query_says_more(
    invoke: Invoke, stored_chat: str
) -> None:
    told = stream(invoke, 'script:[{"text": "a"}, {"text": "b"}]')
    last_id = told.text.rpartition("id: ")[2].split()[0]
    header = {"Last-Event-ID": last_id}
    rest = invoke("sessions/resume_turn", query=None, headers=header)
    assert rest.text == "data: [DONE]\n\n"
    everything = invoke("sessions/resume_turn", query={"starting_after": "0"}, headers=header)
    assert everything.text == invoke("sessions/resume_turn", query=None).text == told.text


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "9007199254740992"])
def test_resume_turn_refuses_what_is_no_number(
    invoke: Invoke, stored_chat: str, number: str
) -> None:
    stream(invoke, "Hi")
    by_query = invoke("sessions/resume_turn", query={"starting_after": number})
    by_header = invoke("sessions/resume_turn", query=None, headers={"Last-Event-ID": number})
    assert [by_query.status, by_header.status] == [400, 400]
    assert by_query.json["error"]["param"] == "starting_after"
    assert by_header.json["error"]["param"] == "last-event-id"


def test_resume_turn_finds_neither_what_was_never_streamed_nor_what_is_gone(
    invoke: Invoke, stored_chat: str
) -> None:
    unknown = invoke("sessions/resume_turn")
    assert unknown.status == 404
    assert invoke("sessions/send_message", stream=False).status == 201
    assert invoke("sessions/resume_turn").status == 404
    stream(invoke, "Hi")
    assert invoke("sessions/delete_chat").status == 200
    assert invoke("sessions/resume_turn").text == unknown.text


def test_stop_turn_leaves_an_ended_turn_as_it_is(invoke: Invoke, stored_chat: str) -> None:
    stream(invoke, "Hi")
    before = invoke("sessions/get_history", query=None).json
    reply = invoke("sessions/stop_turn")
    assert reply.status == 200
    assert reply.json["object"] == "turn.stopped"
    assert invoke("sessions/get_history", query=None).json == before


def test_stop_turn_finds_no_strangers_turn(invoke: Invoke, stored_chat: str) -> None:
    stream(invoke, "Hi")
    token = invoke("personas/get_token", user_id="somebody-else").json["token"]
    for credential in ("sk_test_neighbour", token):
        header = {"Authorization": f"Bearer {credential}"}
        reply = invoke("sessions/stop_turn", headers=header)
        assert reply.status == 404
        assert reply.json["error"]["code"] == "not_found"
        assert invoke("sessions/resume_turn", headers=header).status == 404


# Tools --------------------------------------------------------------------------------------------

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "forecast",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def script(*steps: dict[str, Any]) -> str:
    return f"script:{json.dumps(steps)}"


def call(invoke: Invoke, *cities: str) -> list[str]:
    """Have the model ask for forecasts; the ids of its calls."""
    steps = [{"call": "forecast", "arguments": {"city": city}} for city in cities]
    reply = invoke("sessions/send_message", content=script(*steps), tools=TOOLS)
    assert reply.status == 201
    return [each["id"] for each in reply.json["toolCalls"]]


def give(invoke: Invoke, results: dict[str, str], **fields: Any) -> Reply:
    """Say what calls have come to."""
    told = [{"toolCallId": id_, "content": text} for id_, text in results.items()]
    return invoke("sessions/send_message", role="tool", toolResults=told, **fields)


def history(invoke: Invoke) -> list[Any]:
    shown: list[Any] = invoke("sessions/get_history", query=None).json["messages"]
    return shown


def told(invoke: Invoke) -> list[Any]:
    """What the model is told in the turn that follows."""
    reply = invoke("sessions/send_message", content=script({"echo": "request"}))
    messages: list[Any] = json.loads(reply.json["content"])["messages"]
    return messages[:-1]


def test_send_message_goes_on_with_the_results_of_calls(invoke: Invoke, stored_chat: str) -> None:
    gondar, axum = call(invoke, "Gondar", "Axum")

    reply = give(invoke, {axum: "23 degrees", gondar: "19 degrees"})

    assert reply.status == 201
    assert reply.json["content"].endswith("which says: 23 degrees")
    _, asked, given, answered = history(invoke)
    assert asked["finishReason"] == "tool_calls"
    assert [each["function"]["name"] for each in asked["toolCalls"]] == ["forecast", "forecast"]
    assert (given["role"], given["content"], given["status"]) == ("tool", "", "completed")
    assert given["toolResults"] == [
        {"toolCallId": axum, "content": "23 degrees"},
        {"toolCallId": gondar, "content": "19 degrees"},
    ]
    assert answered == reply.json
    assert answered["toolResults"] == []
    *_, question, calls, first, second, answer = told(invoke)
    assert question["role"] == "user"
    assert [each["id"] for each in calls["tool_calls"]] == [gondar, axum]
    assert first == {"role": "tool", "text": "19 degrees", "tool_call_id": gondar}
    assert second == {"role": "tool", "text": "23 degrees", "tool_call_id": axum}
    assert answer == {"role": "assistant", "text": answered["content"]}


def test_send_message_can_call_again_after_results(invoke: Invoke, stored_chat: str) -> None:
    (first,) = call(invoke, "Gondar")
    reply = give(invoke, {first: "19 degrees"}, tools=TOOLS, tool_choice="required")
    (second,) = reply.json["toolCalls"]
    assert second["function"] == {"name": "forecast", "arguments": '{"city": "text"}'}
    assert give(invoke, {second["id"]: "no such city"}).status == 201
    assert [message["role"] for message in history(invoke)] == [
        *("user", "assistant"),
        *("tool", "assistant"),
        *("tool", "assistant"),
    ]


def test_send_message_streams_calls_and_the_reply_to_their_results(
    invoke: Invoke, stored_chat: str
) -> None:
    steps = script({"call": "forecast", "arguments": {"city": "Gondar"}})
    called = invoke("sessions/send_message", content=steps, tools=TOOLS, stream=True)
    deltas = [
        delta
        for event in data(called.text)[:-1]
        for delta in json.loads(event)["choices"][0]["delta"].get("tool_calls", ())
    ]
    arguments = "".join(delta["function"]["arguments"] for delta in deltas)
    assert json.loads(arguments) == {"city": "Gondar"}
    assert '"finish_reason":"tool_calls"' in called.text

    answered = give(invoke, {deltas[0]["id"]: "19 degrees"}, stream=True)

    assert answered.status == 200
    assert answered.text.endswith("data: [DONE]\n\n")
    assert history(invoke)[-1]["content"].endswith("which says: 19 degrees")


def test_send_message_takes_tools_and_a_form_for_one_turn(invoke: Invoke, stored_chat: str) -> None:
    form = {"type": "json_object"}
    asked = invoke(
        "sessions/send_message",
        content=script({"echo": "request"}),
        tools=TOOLS,
        tool_choice="none",
        parallel_tool_calls=False,
        response_format=form,
        reasoning_effort="low",
    )
    request = json.loads(asked.json["content"])
    assert [tool["name"] for tool in request["tools"]] == ["forecast"]
    assert request["tool_choice"] == {"mode": "none"}
    assert request["parallel_tool_calls"] is False
    assert request["response_format"] == {"strict": False}
    assert request["reasoning_effort"] == "low"
    plain = invoke("sessions/send_message", content=script({"echo": "request"}))
    assert json.loads(plain.json["content"]).keys() == {"model", "messages", "parameters"}


def test_send_message_goes_on_where_nobody_answered_the_calls(
    invoke: Invoke, stored_chat: str
) -> None:
    (id_,) = call(invoke, "Gondar")
    *_, asked, result = told(invoke)
    assert asked["tool_calls"][0]["id"] == id_
    assert (result["role"], result["tool_call_id"]) == ("tool", id_)
    assert give(invoke, {id_: "too late"}).status == 400


def test_send_message_takes_results_after_a_turn_that_failed(
    invoke: Invoke, stored_chat: str
) -> None:
    (id_,) = call(invoke, "Gondar")
    assert invoke("sessions/send_message", content=script({"fail": "unavailable"})).status == 503
    assert give(invoke, {id_: "19 degrees"}).status == 201
    asked, given, _ = told(invoke)[-3:]
    assert asked["tool_calls"][0]["id"] == id_
    assert given["text"] == "19 degrees"


def test_send_message_takes_no_results_while_a_reply_is_made(
    invoke: Invoke, stored_chat: str, services: Services, loop: AbstractEventLoop
) -> None:
    (id_,) = call(invoke, "Gondar")
    head = loop.run_until_complete(
        services.store.get(Scope("demo"), ConversationId.parse(stored_chat))
    )
    now = datetime.now(UTC)
    loop.run_until_complete(services.store.append_turn(head, text="?", model="any", at=now))
    assert give(invoke, {id_: "19 degrees"}).status == 409
    assert len(history(invoke)) == 4


@pytest.mark.parametrize(
    ("results", "named"),
    [
        ({"call_x": "?"}, "Result 1"),
        ({"call_1_0": "?"}, "`call_1_1` lack"),
        ({"call_1_0": "?", "call_1_1": "?", "call_x": "?"}, "Result 3"),
    ],
    ids=["of no call", "of some calls", "of too many"],
)
def test_send_message_refuses_results_that_are_not_those_of_the_open_calls(
    invoke: Invoke, stored_chat: str, results: dict[str, str], named: str
) -> None:
    call(invoke, "Gondar", "Axum")
    before = history(invoke)
    prefix = before[-1]["toolCalls"][0]["id"].rsplit("_", 1)[0]
    reply = give(invoke, {id_.replace("call_1", prefix): text for id_, text in results.items()})
    assert reply.status == 400
    error = reply.json["error"]
    assert error["param"] == "toolResults"
    assert named.replace("call_1", prefix) in error["message"]
    assert history(invoke) == before


def test_send_message_refuses_results_of_nothing(invoke: Invoke, stored_chat: str) -> None:
    assert give(invoke, {"call_x": "?"}).status == 400
    invoke("sessions/send_message")
    assert give(invoke, {"call_x": "?"}).status == 400
    assert len(history(invoke)) == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"role": "tool"}, "toolResults"),
        ({"role": "tool", "toolResults": []}, "toolResults"),
        ({"role": "tool", "toolResults": [{"content": "?"}]}, "toolResults.0.toolCallId"),
        ({"role": "tool", "toolResults": [{"toolCallId": "a"}]}, "toolResults.0.content"),
        ({"role": "assistant"}, "role"),
        ({"content": ""}, "content"),
        ({"content": None}, "content"),
        ({"tools": [{"type": "function", "function": {"name": "?"}}]}, "tools.0.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_send_message_names_the_field_that_is_wrong(
    invoke: Invoke, stored_chat: str, fields: dict[str, Any], param: str
) -> None:
    reply = invoke("sessions/send_message", fields=fields)
    assert reply.status == 400
    assert reply.json["error"]["param"] == param
    assert history(invoke) == []
