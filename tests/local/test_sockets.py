"""The local WebSocket API and Lambda's, as clients and functions see them."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from local import sockets
from local.front_door import configuration
from local.socket_gateway import MAX_MESSAGE_BYTES
from local.stack import LocalStack
from local.template import Template
from tests.local import socket_sample
from tests.local.conftest import function

FRAME = 32 * 1024
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A local stack with a WebSocket API, on a port of its own."""
    names = {"Connect": "connect", "Receive": "receive", "Disconnect": "disconnect", "Work": "work"}
    template: Template = {
        "Resources": {
            "Api": {"Type": "AWS::Serverless::Api", "Properties": {"StageName": "dev"}},
            "SocketApi": {
                "Type": "AWS::Serverless::WebSocketApi",
                "Properties": {
                    "StageName": "dev",
                    "Routes": {
                        "$connect": {"FunctionArn": {"Fn::GetAtt": ["Connect", "Arn"]}},
                        "$default": {"FunctionArn": {"Fn::GetAtt": ["Receive", "Arn"]}},
                        "$disconnect": {"FunctionArn": {"Fn::GetAtt": ["Disconnect", "Arn"]}},
                    },
                },
            },
        }
    }
    for name, handler in names.items():
        made = function(handler)
        made["Properties"]["Handler"] = f"socket_sample.{handler}"
        template["Resources"][name] = made
    listener = sockets.listen("127.0.0.1", 0)
    server = uvicorn.Server(configuration(LocalStack(template)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(autouse=True)
def _everyone_has_left() -> Iterator[None]:
    """A connection's end is told in its own time: wait for it, so that no later test hears it."""
    yield
    with socket_sample.leaving:
        assert socket_sample.leaving.wait_for(lambda: not socket_sample.inside, timeout=30)
    while not socket_sample.events.empty():
        socket_sample.events.get()


@pytest.fixture
def management(url: str) -> Any:
    return boto3.client("apigatewaymanagementapi", endpoint_url=url, config=ONCE)


def open_socket(url: str, query: str = "") -> ClientConnection:
    return connect(f"{url.replace('http', 'ws', 1)}/ws/chat{query}", max_size=None)


def happened(name: str) -> dict[str, Any]:
    """The event of the next invocation, which is this function's."""
    function_name, event = socket_sample.events.get(timeout=30)
    assert function_name == name
    return event


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_functions_get_the_events_of_a_connection(url: str) -> None:
    with open_socket(url, "?x=1&x=%E1%88%B0&empty=") as socket:
        event = happened("Connect")
        socket.send("ሰላም")
        said = happened("Receive")
        socket.send(b"\xff")
        bytes_said = happened("Receive")
    left = happened("Disconnect")

    assert event["queryStringParameters"] == {"x": "ሰ", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "ሰ"], "empty": [""]}
    assert event["headers"]["sec-websocket-version"] == "13"
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["127.0.0.1"]
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert (context["routeKey"], context["eventType"]) == ("$connect", "CONNECT")
    assert context["stage"] == "dev"
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert isinstance(context["connectedAt"], int)

    assert (said["body"], said["isBase64Encoded"]) == ("ሰላም", False)
    assert "headers" not in said
    assert said["requestContext"]["eventType"] == "MESSAGE"
    assert said["requestContext"]["messageId"]
    assert (bytes_said["body"], bytes_said["isBase64Encoded"]) == ("/w==", True)

    assert left["requestContext"]["eventType"] == "DISCONNECT"
    assert left["requestContext"]["disconnectStatusCode"] == 1000
    ids = {each["requestContext"]["connectionId"] for each in (event, said, bytes_said, left)}
    assert len(ids) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_refusal_has_the_handlers_status(url: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(url, f"?status={status}")
    assert refused.value.response.status_code == status
    assert refused.value.response.body == b'{"why": "because"}'
    happened("Connect")
    assert socket_sample.events.empty()  # who was never connected doesn't disconnect


def test_a_handler_that_fails_is_told_without_its_reason(url: str) -> None:
    with open_socket(url) as socket:
        connection = happened("Connect")["requestContext"]["connectionId"]
        socket.send("break")
        told = json.loads(socket.recv(timeout=30))
    assert told["message"] == "Internal server error"
    assert told["connectionId"] == connection
    assert set(told) == {"message", "connectionId", "requestId"}


def test_a_connection_is_posted_to_seen_and_closed(url: str, management: Any) -> None:
    with open_socket(url) as socket:
        connection = happened("Connect")["requestContext"]["connectionId"]
        management.post_to_connection(ConnectionId=connection, Data="ሰላም".encode())
        assert socket.recv(timeout=30) == "ሰላም"
        seen = management.get_connection(ConnectionId=connection)
        assert seen["Identity"]["SourceIp"] == "127.0.0.1"
        assert seen["ConnectedAt"] <= seen["LastActiveAt"]
        management.delete_connection(ConnectionId=connection)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
    happened("Disconnect")
    for call in ("post_to_connection", "get_connection", "delete_connection"):
        data = {"Data": b"x"} if call == "post_to_connection" else {}
        with pytest.raises(ClientError) as gone:
            getattr(management, call)(ConnectionId=connection, **data)
        assert code(gone) == ("GoneException", 410)


def test_nothing_can_be_posted_before_connect_has_returned(url: str, management: Any) -> None:
    opened: list[ClientConnection] = []
    opening = threading.Thread(target=lambda: opened.append(open_socket(url, "?wait=1")))
    opening.start()
    connection = socket_sample.connecting.get(timeout=30)
    with pytest.raises(ClientError) as unposted:
        management.post_to_connection(ConnectionId=connection, Data=b"x")
    with pytest.raises(ClientError) as unseen:
        management.get_connection(ConnectionId=connection)
    assert code(unposted) == code(unseen) == ("GoneException", 410)
    socket_sample.let_in.put(200)
    opening.join()
    management.post_to_connection(ConnectionId=connection, Data=b"x")
    assert opened[0].recv(timeout=30) == "x"
    opened[0].close()


def test_a_post_has_at_most_128_kb_and_leaves_in_frames_of_32(url: str, management: Any) -> None:
    with open_socket(url) as socket:
        connection = happened("Connect")["requestContext"]["connectionId"]
        with pytest.raises(ClientError) as too_large:
            management.post_to_connection(
                ConnectionId=connection, Data=b"x" * (MAX_MESSAGE_BYTES + 1)
            )
        assert code(too_large) == ("PayloadTooLargeException", 413)
        management.post_to_connection(ConnectionId=connection, Data=b"x" * MAX_MESSAGE_BYTES)
        frames = list(socket.recv_streaming())
        assert [len(frame) for frame in frames] == [FRAME] * 4


@pytest.mark.parametrize("message", ["x" * FRAME, ["x" * FRAME] * 4], ids=["a frame", "four"])
def test_a_client_sends_frames_of_32_kb_and_messages_of_128(url: str, message: Any) -> None:
    with open_socket(url) as socket:
        happened("Connect")
        socket.send(message)
        assert happened("Receive")["body"] == "".join(message)


@pytest.mark.parametrize(
    "message",
    ["x" * (FRAME + 1), ["x"] * 3 + ["x" * (FRAME + 1)], ["x" * FRAME] * 5],
    ids=["a long frame", "a long frame among others", "a long message"],
)
def test_a_client_that_sends_more_is_cut_off(url: str, message: Any) -> None:
    with open_socket(url) as socket:
        happened("Connect")
        with suppress(ConnectionClosed):
            socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    happened("Disconnect")


def test_only_signed_calls_are_answered(url: str) -> None:
    """A page in a browser can't sign without asking first, which is refused."""
    for path in ("/@connections/x", "/2015-03-31/functions/Work/invocations"):
        assert httpx.post(f"{url}{path}", json={}).status_code == 403
    assert socket_sample.events.empty()


def test_a_function_is_invoked_by_name_or_arn_and_not_waited_for(url: str) -> None:
    client = boto3.client("lambda", endpoint_url=url, config=ONCE)
    for name in ("Work", "arn:aws:lambda:us-east-1:000000000000:function:Work"):
        answer = client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')
        assert answer["StatusCode"] == 202
        assert happened("Work") == {"a": 1}
    answer = client.invoke(FunctionName="Work", InvocationType="Event", Payload=b'{"break": 1}')
    assert answer["StatusCode"] == 202


def test_an_invocation_of_what_there_is_not_is_refused(url: str) -> None:
    client = boto3.client("lambda", endpoint_url=url, config=ONCE)
    with pytest.raises(ClientError) as unknown:
        client.invoke(FunctionName="Nothing", InvocationType="Event")
    assert code(unknown) == ("ResourceNotFoundException", 404)
    with pytest.raises(ClientError) as synchronous:
        client.invoke(FunctionName="Work")
    assert code(synchronous) == ("InvalidParameterValueException", 400)


def test_a_websocket_anywhere_else_is_any_other_request(url: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url.replace('http', 'ws', 1)}/nothing")
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"") == {
        "message": "Missing Authentication Token"
    }


def test_an_idle_connection_is_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.socket_gateway.IDLE_SECONDS", 0.3)
    with open_socket(url) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    happened("Connect")
    assert happened("Disconnect")["requestContext"]["disconnectStatusCode"] == 1001
