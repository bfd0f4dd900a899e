"""Every function behind the WebSocket API, through the deployed entry point and its event file."""

import json
from typing import Any

import pytest

from tests.routes.conftest import CHAT, Clients, Invoke, invoke_socket

CONNECTION = "L0SM9cOFvHcCIhw="


@pytest.fixture
def connected(clients: Clients, stored_chat: str) -> Clients:
    """The client that event files name, connected to the chat that they name."""
    assert invoke_socket("connect") == {"statusCode": 200}
    clients.open[CONNECTION] = []
    work(clients)
    return clients


def work(clients: Clients) -> None:
    """Do what functions have left to the worker."""
    while clients.invoked:
        invoke_socket("reply", **clients.invoked.pop(0))


def kinds(frames: list[Any]) -> list[str]:
    return [frame["type"] for frame in frames]


def test_connect_lets_a_client_in_and_leaves_the_greeting_to_the_worker(
    clients: Clients, stored_chat: str
) -> None:
    assert invoke_socket("connect") == {"statusCode": 200}
    assert clients.open == {}
    [greeting] = clients.invoked
    assert greeting["job"] == "Greet"
    assert greeting["of"]["connection"]["id"] == CONNECTION


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"api_key": "sk_test_wrong"}, 401, "invalid_api_key"),
        ({"api_key": None}, 401, "invalid_api_key"),
        ({"user_id": None}, 400, "missing_parameter"),
        ({"user_id": "someone-else"}, 404, "chat_not_found"),
        ({"chat_id": "unknown"}, 404, "chat_not_found"),
    ],
)
def test_connect_refuses_by_status_or_in_a_frame_where_a_browser_hides_the_status(
    clients: Clients, stored_chat: str, change: dict[str, str | None], status: int, code: str
) -> None:
    asked = {"api_key": "sk_test_demo", "user_id": "user-81", "chat_id": CHAT} | change
    query = {name: value for name, value in asked.items() if value is not None}
    refused = invoke_socket("connect", queryStringParameters=query, headers={})
    assert refused["statusCode"] == status
    assert json.loads(refused["body"])["error"]["code"] == code
    assert clients.invoked == []

    headers = {"Origin": "https://shop.example"}
    assert invoke_socket("connect", queryStringParameters=query, headers=headers) == {
        "statusCode": 200
    }
    frames: list[Any] = []
    clients.open[CONNECTION] = frames
    work(clients)
    assert [(frame["type"], frame["code"]) for frame in frames] == [("error", code)]
    assert clients.open == {}


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": "sk_test_demo"}, {"authorization": "bearer sk_test_demo"}]
)
def test_connect_takes_the_key_from_a_header_too(
    clients: Clients, stored_chat: str, headers: dict[str, str]
) -> None:
    query = {"user_id": "user-81", "chat_id": CHAT}
    answer = invoke_socket("connect", headers=headers, queryStringParameters=query)
    assert answer == {"statusCode": 200}


def test_receive_makes_the_message_durable_and_tells_so(connected: Clients, invoke: Invoke) -> None:
    assert invoke_socket("receive") == {"statusCode": 200}
    received = connected.open[CONNECTION][-1]
    assert received["type"] == "message_received"
    assert received["content"] == "Hello, I need help with my account"
    assert received["client_message_id"] == "m-1"
    [message, reply] = invoke("sessions/get_history", query=None).json["messages"]
    assert (message["id"], message["content"]) == (received["message_id"], received["content"])
    assert reply["status"] == "pending"


@pytest.mark.parametrize(
    "change",
    [
        {"body": "no JSON"},
        {"body": "/w==", "isBase64Encoded": True},
        {"body": None},
    ],
)
def test_receive_tells_what_is_wrong_with_a_message(
    connected: Clients, change: dict[str, Any]
) -> None:
    assert invoke_socket("receive", **change) == {"statusCode": 200}
    error = connected.open[CONNECTION][-1]
    assert (error["type"], error["code"]) == ("error", "invalid_request")


def test_reply_streams_the_answer_and_stores_it(connected: Clients, invoke: Invoke) -> None:
    invoke_socket("receive")
    [job] = connected.invoked
    del job["of"]["connection"]["opened_at"], job["of"]["connection"]["slot"]
    assert job["job"] == "Answer"
    assert invoke_socket("reply") == {}  # the event file names this very message
    frames = connected.open[CONNECTION][-3:]
    assert kinds(frames)[-1] == "message_stream_ended"
    said = "".join(f["content"] for f in frames if f["type"] == "message_stream_token")
    assert said == invoke("sessions/get_history", query=None).json["messages"][-1]["content"]


def test_disconnect_frees_what_the_connection_had(connected: Clients) -> None:
    assert invoke_socket("disconnect") == {"statusCode": 200}
    assert invoke_socket("disconnect") == {"statusCode": 200}
    invoke_socket("receive")
    assert connected.open[CONNECTION][-1]["code"] == "invalid_api_key"
