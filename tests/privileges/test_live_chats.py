"""Live chats with the rights of their functions, and without.

The emulator has the WebSocket API and the connections behind it: it asks whoever speaks to a
connection for `execute-api:ManageConnections` on that, and invokes the worker asynchronously. So
the first tests go through it as clients do. Rights are taken away in the last one, which invokes
functions directly with the events that they get, since only so it is known when one has ended.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from parley.domain.conversations import Status
from parley.domain.sockets import Answer, ErrorOccurred, Greet, MessageReceived, Refuse
from tests.privileges.deployment import PATIENCE, Deployment
from tests.privileges.live import LONG_REPLY, LiveChat, hear
from tests.routes.test_rights import SOCKETS

Lacking = AbstractContextManager[None]
"""A block in which a right is taken away."""


def test_a_live_chat_is_served_from_its_handshake_to_its_end(deployment: Deployment) -> None:
    chat = LiveChat(deployment)
    with chat.connect() as client:
        hear(client, "connection_established")
        client.send(json.dumps({"content": LONG_REPLY}))
        hear(client, "message_received")
        hear(client, "message_stream_ended")
        client.send(json.dumps({"content": ""}))
        hear(client, "error")
        assert len(chat.slots()) == 1
    deadline = time.monotonic() + PATIENCE
    while chat.slots():  # until the last function has been told that the client is gone
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_browser_that_is_refused_is_told_why(deployment: Deployment) -> None:
    with LiveChat(deployment).connect(origin="https://shop.example", api_key="wrong") as client:
        assert hear(client, "error")["code"] == "invalid_api_key"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)


def connects(deployment: Deployment, lacking: Lacking) -> bool:
    chat = LiveChat(deployment)
    with lacking:
        try:
            chat.connect().close()
        except InvalidStatus:
            return False
        return True


def disconnects(deployment: Deployment, lacking: Lacking) -> bool:
    chat = LiveChat(deployment)
    with chat.connected() as connection, lacking:
        return chat.happens("Disconnect", connection.id) and not chat.slots()


def receives(deployment: Deployment, lacking: Lacking) -> bool:
    """Takes a message behind a long reply and a dead one; answers a connection that isn't known."""
    chat = LiveChat(deployment)
    with chat.connected() as connection:
        assert chat.works(Answer(connection, chat.ask(LONG_REPLY)))
        chat.leave_dead()
        with lacking:
            took = chat.happens("Receive", connection.id, body='{"content": "And then?"}')
            told = chat.told()
            taken = took and MessageReceived in told and ErrorOccurred not in told
            return taken and chat.happens("Receive", "unknown")


def replies(deployment: Deployment, lacking: Lacking) -> bool:
    """Misses a client, greets one, ends a dead reply, answers at length, and refuses a client."""
    chat = LiveChat(deployment)
    with chat.connected() as connection, lacking:
        chat.leave_dead()
        if not chat.works(Greet(replace(connection, id="gone"), resumed=False)):
            return False
        if not chat.works(Greet(connection, resumed=False)):
            return False
        reply = chat.ask(LONG_REPLY)
        return (
            chat.works(Answer(connection, reply))
            and chat.status(reply) is Status.COMPLETED
            and chat.works(Refuse(connection.id, {"code": "unauthorized"}))
        )


SERVES: Mapping[str, Callable[[Deployment, Lacking], bool]] = {
    "Connect": connects,
    "Disconnect": disconnects,
    "Receive": receives,
    "Reply": replies,
}

SPARED: Mapping[str, set[str]] = {"Reply": {"sqs:SendMessage"}}
"""What Lambda itself does with a role, where the emulator doesn't ask for the right to."""


@pytest.mark.parametrize("function", sorted(SOCKETS))
def test_a_function_of_live_chats_fails_without_any_of_its_rights(
    deployment: Deployment, function: str
) -> None:
    """Taken away one by one, so that it is this one that was missing."""
    spared = deployment.spared(function, partial(SERVES[function], deployment))
    assert spared == SPARED.get(function, set())


def test_nobody_is_connected_without_the_rights_that_all_share(deployment: Deployment) -> None:
    lacking = deployment.without_shared("AuthenticatePolicy", "dynamodb:UpdateItem")
    assert not connects(deployment, lacking)
