"""Every route of the sessions dialect, through the deployed entry point and its event file."""

import json

from tests.routes.conftest import CHAT, Invoke


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
