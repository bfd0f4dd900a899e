"""Every route of the consultant dialect, through the deployed entry point and its event file."""

import json
from typing import Any

import pytest

from local.demo_catalogue import demo_catalogue
from parley import bootstrap
from parley.domain.ids import ConversationId
from tests.routes.conftest import CHAT, Invoke, Reply

PRODUCTS = {product.id: product for product in demo_catalogue().products}
NUMBER = ConversationId.parse(CHAT).number
"""The id, as the consultant shows it, of the chat that event files name."""


def events(reply: Reply) -> list[dict[str, Any]]:
    """A stream as the API's documentation reads it."""
    lines = [line for line in reply.text.splitlines() if line]
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def categories(product_ids: list[int]) -> set[str]:
    return {PRODUCTS[product].attributes["category"] for product in product_ids}


def test_send_message_answers_with_products_in_a_new_chat(invoke: Invoke) -> None:
    reply = invoke("consultant/send_message")
    assert reply.status == 200
    documented = ["chat_id", "message_id", "response", "product_ids"]
    assert list(reply.json) == [*documented, "status", "finish_reason"]
    assert 0 < reply.json["chat_id"] < reply.json["message_id"] < 2**53
    assert reply.json["response"]
    assert categories(reply.json["product_ids"]) == {"running shoes"}


def test_send_message_continues_the_chat_it_names(invoke: Invoke) -> None:
    first = invoke("consultant/send_message").json
    second = invoke("consultant/send_message", message="Thank you!", chat_id=first["chat_id"])
    assert second.status == 200
    assert second.json["chat_id"] == first["chat_id"]
    assert second.json["message_id"] > first["message_id"]
    assert second.json["product_ids"] == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"stream": True}, "stream"),
        ({"stream": "yes"}, "stream"),
        ({"message": ""}, "message"),
        ({"message": "ሽ" * 4001}, "message"),
        ({"message": None}, "message"),
        ({"message": ["Hello"]}, "message"),
        ({"message": "a\u0000b"}, "message"),
        ({"chat_id": "4711"}, "chat_id"),
        ({"chat_id": True}, "chat_id"),
        ({"chat_id": 1.5}, "chat_id"),
        ({"user_id": ""}, "user_id"),
    ],
)
def test_send_message_names_the_field_that_is_wrong(
    invoke: Invoke, changed: dict[str, Any], field: str
) -> None:
    reply = invoke("consultant/send_message", **changed)
    assert reply.status == 400
    assert reply.json["error"]["field"] == field
    assert reply.json["error"]["code"] == "invalid_request"
    assert field in reply.json["error"]["message"]


def test_send_message_names_the_streaming_route_where_a_stream_is_asked_for(invoke: Invoke) -> None:
    assert "/chat/stream" in invoke("consultant/send_message", stream=True).json["error"]["message"]


def test_send_message_counts_characters_and_not_bytes(
    invoke: Invoke, services: bootstrap.Services
) -> None:
    services.models.backend("scripted").context_window = 100_000
    assert invoke("consultant/send_message", message="ሽ" * 4000).status == 200


@pytest.mark.parametrize("chat_id", [4711, 0, -1, 2**53, 10**30])
def test_send_message_finds_no_chat_that_is_not_there(invoke: Invoke, chat_id: int) -> None:
    reply = invoke("consultant/send_message", chat_id=chat_id)
    assert reply.status == 404
    assert reply.json["error"]["code"] == "not_found"


def test_send_message_keeps_customers_apart(invoke: Invoke) -> None:
    chat_id = invoke("consultant/send_message", user_id="anna").json["chat_id"]
    assert invoke("consultant/send_message", user_id="boris", chat_id=chat_id).status == 404
    assert invoke("consultant/send_message", user_id="anna", chat_id=chat_id).status == 200


def test_send_message_refuses_whoever_has_no_key(invoke: Invoke) -> None:
    reply = invoke("consultant/send_message", headers={"Authorization": "Bearer sk_test_wrong"})
    assert reply.status == 401
    assert reply.json["error"]["code"] == "invalid_api_key"


def test_stream_message_sends_products_then_text_then_the_end(invoke: Invoke) -> None:
    reply = invoke("consultant/stream_message")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    products, *texts, done = events(reply)
    assert products["type"] == "products"
    assert "coffee and tea" in categories(products["data"]["product_ids"])
    assert {text["type"] for text in texts} == {"text"}
    assert done["type"] == "done"
    assert list(done["data"]) == ["message_id", "chat_id", "status", "finish_reason"]
    assert (
        products["data"].items()
        >= {name: done["data"][name] for name in ("message_id", "chat_id")}.items()
    )


def test_stream_message_writes_frames_as_they_are_documented(invoke: Invoke) -> None:
    reply = invoke("consultant/stream_message", message="Thank you")
    assert reply.text.startswith('data: {"type": "products", "data": {"product_ids": []')
    assert '\n\ndata: {"type": "text", "data": {"content": "' in reply.text


def test_stream_message_ignores_whether_a_stream_is_asked_for(invoke: Invoke) -> None:
    assert invoke("consultant/stream_message", stream=False).status == 200
    assert invoke("consultant/stream_message", stream=True).status == 200


def test_stream_message_ends_with_an_error_where_the_model_fails(invoke: Invoke) -> None:
    steps = 'script:[{"text": "We have "}, {"fail": "error"}]'
    *_, text, error = events(invoke("consultant/stream_message", message=steps))
    assert text == {"type": "text", "data": {"content": "We have "}}
    assert error["type"] == "error"
    assert error["data"]["code"] == "model_error"
    assert error["data"]["message"]


def test_stream_message_has_a_status_until_the_model_accepts(invoke: Invoke) -> None:
    reply = invoke("consultant/stream_message", message='script:[{"fail": "unavailable"}]')
    assert reply.status == 503
    assert reply.json["error"]["code"] == "model_unavailable"


def test_get_history_is_an_array_of_all_messages(invoke: Invoke, stored_chat: str) -> None:
    sent = invoke("consultant/send_message", chat_id=NUMBER).json
    reply = invoke("consultant/get_history")
    assert reply.status == 200
    question, answer = reply.json
    assert question["content"] == "What running shoes do you recommend?"
    assert (question["is_from_user"], answer["is_from_user"]) == (True, False)
    assert answer["id"] == sent["message_id"]
    assert answer["content"] == sent["response"]
    assert (question["product_ids"], answer["product_ids"]) == ([], sent["product_ids"])
    assert answer["created_at"].endswith("Z")
    assert reply.headers["x-total-count"] == "2"


def test_get_history_can_be_read_in_pages(invoke: Invoke, stored_chat: str) -> None:
    for message in ("Which tents do you have?", "Thank you"):
        assert invoke("consultant/send_message", message=message, chat_id=NUMBER).status == 200
    whole = invoke("consultant/get_history").json
    page = invoke("consultant/get_history", query={"offset": "1", "limit": "2"})
    assert page.json == whole[1:3]
    assert page.headers["x-total-count"] == "4"


def test_get_history_finds_no_chat_that_is_not_there(invoke: Invoke) -> None:
    assert invoke("consultant/get_history").status == 404
