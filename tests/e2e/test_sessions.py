"""Server-side sessions as a program of a few lines uses them, with `requests`."""

import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageFunctionToolCall

from local import ROOT
from tests.e2e.conftest import Stack

SCRIPTED = "sk_test_conformance"


@pytest.fixture
def scripted(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": SCRIPTED}
    with httpx.Client(base_url=f"{stack.url}/v1", headers=headers, timeout=60) as client:
        yield client


def new_chat(client: httpx.Client, **fields: Any) -> str:
    reply = client.post("/chats", json={"model": "any", **fields})
    assert reply.status_code == 201
    chat_id: str = reply.json()["id"]
    return chat_id


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


def test_a_session_from_beginning_to_history_with_a_real_model(stack: Stack) -> None:
    url = f"{stack.url}/v1"
    headers = {"Authorization": "Bearer sk_test_demo", "Content-Type": "application/json"}
    with requests.Session() as session:
        session.headers.update(headers)
        created = session.post(
            f"{url}/chats",
            json={
                "title": "Trade routes",
                "systemPrompt": "You teach the history of Axum.",
                "model": "wesen-chat-v1",
            },
        )
        assert created.status_code == 201
        chat_id = created.json()["id"]
        question: Any = {"role": "user", "content": "What did Axum sell?", "max_tokens": 16}
        replied = session.post(f"{url}/chat/{chat_id}", json=question)
        assert replied.status_code == 201
        assert replied.json()["role"] == "assistant"
        history = session.get(f"{url}/chat/{chat_id}/history")
        assert history.status_code == 200
        said = [(message["role"], message["content"]) for message in history.json()["messages"]]
        assert said == [
            ("user", "What did Axum sell?"),
            ("assistant", replied.json()["content"]),
        ]


def test_system_prompt_and_history_reach_the_model_in_the_next_turn(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted, systemPrompt="Be brief.")
    scripted.post(f"/chat/{chat_id}", json={"content": script({"text": "Noted."})})
    reply = scripted.post(
        f"/chat/{chat_id}", json={"content": script({"echo": "request"}), "temperature": 0.5}
    )
    told = json.loads(reply.json()["content"])
    assert [message["role"] for message in told["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert told["messages"][0]["text"] == "Be brief."
    assert told["messages"][2]["text"] == "Noted."
    assert told["parameters"]["temperature"] == 0.5


def test_a_long_conversation_forgets_its_oldest_turns_but_not_its_system_prompt(
    scripted: httpx.Client,
) -> None:
    chat_id = new_chat(scripted, systemPrompt="Be brief.")
    for number in range(8):
        text = script({"text": f"{number} " + "word " * 700})
        assert scripted.post(f"/chat/{chat_id}", json={"content": text}).status_code == 201
    reply = scripted.post(f"/chat/{chat_id}", json={"content": script({"echo": "request"})})
    told = json.loads(reply.json()["content"])["messages"]
    assert told[0] == {"role": "system", "text": "Be brief."}
    assert 3 <= len(told) < 18
    assert told[-2]["text"].startswith("7 ")


def test_a_streamed_message_is_the_stored_one(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    body = {
        "content": script({"text": "ሰላም "}, {"text": "👋"}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with scripted.stream("POST", f"/chat/{chat_id}", json=body) as reply:
        assert reply.status_code == 200
        events = [line[6:] for line in reply.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    text = "".join(
        chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]
    )
    stored = scripted.get(f"/chat/{chat_id}/history").json()["messages"][-1]
    assert text == stored["content"] == "ሰላም 👋"
    assert {chunk["id"] for chunk in chunks} == {stored["id"]}
    assert {chunk["chatId"] for chunk in chunks} == {chat_id}
    assert chunks[-1]["usage"]["completion_tokens"] == stored["usage"]["completionTokens"] == 2


def test_a_reply_whose_reader_left_is_stored_whole(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    body = {"content": script({"text": "first"}, {"wait": 0.4}, {"text": " last"}), "stream": True}
    with scripted.stream("POST", f"/chat/{chat_id}", json=body) as reply:
        assert any("first" in line for line in reply.iter_lines())
    for _ in range(100):
        stored = scripted.get(f"/chat/{chat_id}/history").json()["messages"][-1]
        if stored["status"] != "pending":
            break
    assert (stored["content"], stored["status"]) == ("first last", "completed")


def test_a_failed_turn_is_told_from_a_complete_one_in_history(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    reply = scripted.post(
        f"/chat/{chat_id}", json={"content": script({"text": "half"}, {"fail": "error"})}
    )
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "model_error"
    [user, failed] = scripted.get(f"/chat/{chat_id}/history").json()["messages"]
    assert user["status"] == "completed"
    assert (failed["content"], failed["status"], failed["error"]) == (
        "half",
        "failed",
        "model_error",
    )


def test_two_messages_at_once_are_both_answered_in_order(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    together = threading.Barrier(4)
    statuses = []

    def speak(number: int) -> None:
        together.wait()
        text = script({"text": f"answer {number}"})
        statuses.append(scripted.post(f"/chat/{chat_id}", json={"content": text}).status_code)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 4
    messages = scripted.get(f"/chat/{chat_id}/history").json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 4
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        assert answer["content"] in question["content"]
        assert answer["status"] == "completed"


def test_chats_are_listed_for_their_user_and_gone_when_deleted(scripted: httpx.Client) -> None:
    user = uuid.uuid4().hex
    made = [new_chat(scripted, user=user, title=f"Chat {number}") for number in range(3)]
    listed = scripted.get("/chats", params={"user": user}).json()
    assert [chat["id"] for chat in listed["data"]] == made[::-1]
    assert scripted.delete(f"/chats/{made[1]}").json()["deleted"] is True
    listed = scripted.get("/chats", params={"user": user}).json()
    assert [chat["id"] for chat in listed["data"]] == [made[2], made[0]]
    assert scripted.get("/chats", params={"user": uuid.uuid4().hex}).json()["data"] == []


def test_a_reply_beyond_one_items_size_is_kept_whole(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    piece = "ሽ" * 100
    text = script({"text": piece, "repeat": 2000})
    reply = scripted.post(f"/chat/{chat_id}", json={"content": text})
    assert reply.status_code == 201
    stored = scripted.get(f"/chat/{chat_id}/history").json()["messages"][-1]
    assert len(stored["content"].encode()) == 600_000
    assert stored["content"] == reply.json()["content"] == piece * 2000


TOOLS = [{"type": "function", "function": {"name": "look"}}]


def test_streamed_calls_are_those_of_openais_client(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    calls = [{"call": "look", "arguments": {"place": place}} for place in ("Gondar", "Axum")]
    asked = {"content": script(*calls), "tools": TOOLS, "stream": True}
    state = ChatCompletionStreamState()
    with scripted.stream("POST", f"/chat/{chat_id}", json=asked) as streamed:
        for line in streamed.iter_lines():
            if line.startswith("data: {"):
                state.handle_chunk(ChatCompletionChunk.model_validate_json(line[6:]))
    (choice,) = state.get_final_completion().choices
    assert choice.finish_reason == "tool_calls"
    made = choice.message.tool_calls or []
    assert [json.loads(call.function.arguments)["place"] for call in made] == ["Gondar", "Axum"]

    stored = scripted.get(f"/chat/{chat_id}/history").json()["messages"][-1]["toolCalls"]
    assert [ChatCompletionMessageFunctionToolCall(**call).id for call in stored] == [
        call.id for call in made
    ]
    results = [{"toolCallId": call.id, "content": f"Result of {call.id}"} for call in made]
    reply = scripted.post(f"/chat/{chat_id}", json={"role": "tool", "toolResults": results})
    assert reply.status_code == 201
    assert f"Result of {made[-1].id}" in reply.json()["content"]


def test_of_two_answers_to_one_call_one_is_taken(scripted: httpx.Client) -> None:
    chat_id = new_chat(scripted)
    asked = {"content": "Look.", "tools": TOOLS, "tool_choice": "required"}
    (call,) = scripted.post(f"/chat/{chat_id}", json=asked).json()["toolCalls"]
    answer = {"role": "tool", "toolResults": [{"toolCallId": call["id"], "content": "A castle."}]}
    statuses: list[int] = []

    def give() -> None:
        statuses.append(scripted.post(f"/chat/{chat_id}", json=answer).status_code)

    callers = [threading.Thread(target=give) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # Whoever comes second comes while the reply is made, or after it.
    assert sorted(statuses) in ([201, 400], [201, 409])
    assert scripted.get(f"/chat/{chat_id}/history").json()["total"] == 4


def test_the_documentations_example_of_tools_runs(stack: Stack) -> None:
    text = (ROOT / "docs" / "dialects.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    program = example.replace("http://127.0.0.1:8000", stack.url).replace("YOUR_KEY", SCRIPTED)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "23 °C" in ran.stdout
