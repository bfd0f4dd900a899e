"""Live chats on the local stack, with the clients that the document has in mind."""

import asyncio
import json
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from shutil import which
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.conftest import Stack
from tests.support.live import kinds, script, text

pytestmark = pytest.mark.anyio

KEY = "sk_test_conformance"
PATIENCE = 60
"""Seconds: a busy machine may take its time."""


class Chat:
    """A chat of a user of its own, whose connections a test opens."""

    def __init__(self, stack: Stack, key: str = KEY) -> None:
        self.user = f"user-{uuid.uuid4().hex}"
        self._stack, self._key = stack, key
        self.id: str = self._http("POST", "/", json={"user_id": self.user})["chat_id"]

    def url(self, **changes: Any) -> str:
        query = {"api_key": self._key, "user_id": self.user, "chat_id": self.id} | changes
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self._stack.url.replace('http', 'ws', 1)}/ws/chat?{urlencode(given)}"

    @asynccontextmanager
    async def connected(self, **changes: Any) -> AsyncIterator["Client"]:
        async with connect(self.url(**changes), open_timeout=PATIENCE, max_size=None) as socket:
            yield Client(socket)

    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self._http("GET", f"/{self.id}/messages")["messages"]
        return messages

    async def settled(self, replies: int = 1) -> list[dict[str, Any]]:
        """The messages, once so many replies have ended."""
        async with asyncio.timeout(PATIENCE):
            while True:
                messages = await asyncio.to_thread(self.messages)
                ended = [m for m in messages[1::2] if m["status"] != "pending"]
                if len(ended) == replies:
                    return messages
                await asyncio.sleep(0.1)

    def _http(self, method: str, path: str, **request: Any) -> Any:
        reply = httpx.request(
            method,
            f"{self._stack.url}/api/v1/chats{path}",
            headers={"X-API-Key": self._key},
            timeout=PATIENCE,
            **request,
        )
        assert reply.is_success, reply.text
        return reply.json()


class Client:
    """A client that reads what it is sent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.longest = 0

    async def say(self, content: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"content": content, **fields}))

    async def hear(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Read until events of a kind have come so many times; the last of them."""
        async with asyncio.timeout(PATIENCE):
            while kinds(self.heard).count(kind) < times:
                frame = await self.socket.recv()
                self.longest = max(self.longest, len(str(frame).encode()))
                self.heard.append(json.loads(frame))
        return [event for event in self.heard if event["type"] == kind][times - 1]

    async def leave(self) -> None:
        """Vanish without a word."""
        self.socket.transport.abort()


@pytest.fixture
def chat(stack: Stack) -> Chat:
    return Chat(stack)


# The document's quick start ---------------------------------------------------------------------


async def test_a_message_is_answered_token_by_token(chat: Chat) -> None:
    async with chat.connected() as client:
        established = await client.hear("connection_established")
        created = await client.hear("user_created")
        await client.say(script({"text": "Selam, ሰላም 😀 ", "wait": 0.05, "repeat": 10}))
        received = await client.hear("message_received")
        started = await client.hear("message_stream_started")
        ended = await client.hear("message_stream_ended")
    assert kinds(client.heard)[:4] == [
        "connection_established",
        "user_created",
        "message_received",
        "message_stream_started",
    ]
    assert text(client.heard) == "Selam, ሰላም 😀 " * 10
    assert kinds(client.heard).count("message_stream_token") > 2
    assert created["user_id"] == chat.user
    assert {event["chat_id"] for event in client.heard} == {chat.id}
    message, reply = chat.messages()
    assert received["message_id"] == message["message_id"]
    assert started["message_id"] == ended["message_id"] == reply["message_id"]
    assert reply["content"] == text(client.heard)
    assert ended["usage"] == reply["usage"]
    positions = [event["seq"] for event in client.heard]
    assert positions == sorted(set(positions))
    assert established["seq"] == positions[0]
    assert all(event["timestamp"].endswith("Z") for event in client.heard)


async def test_a_real_model_answers(stack: Stack) -> None:
    chat = Chat(stack, "sk_test_demo")
    async with chat.connected() as client:
        await client.say("Hello, I need help with my account")
        ended = await client.hear("message_stream_ended")
    assert ended["status"] == "completed"
    assert text(client.heard) == chat.messages()[-1]["content"]


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}], ids=["key", "bearer"]
)
async def test_the_key_may_come_in_a_header(chat: Chat, headers: dict[str, str]) -> None:
    async with connect(chat.url(api_key=None), additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "connection_established"


# Refusals ---------------------------------------------------------------------------------------

REFUSALS = [
    ({"api_key": "sk_test_wrong"}, 401, "invalid_api_key"),
    ({"api_key": None}, 401, "invalid_api_key"),
    ({"chat_id": str(uuid.uuid4())}, 404, "chat_not_found"),
    ({"user_id": "someone-else"}, 404, "chat_not_found"),
    ({"chat_id": None}, 400, "missing_parameter"),
    ({"user_id": None}, 400, "missing_parameter"),
    ({"last_seq": "soon"}, 400, "invalid_parameter"),
]


@pytest.mark.parametrize(("changes", "status", "code"), REFUSALS)
async def test_a_refused_handshake_has_the_status_of_its_reason(
    chat: Chat, changes: dict[str, Any], status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with chat.connected(**changes):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["error"]["code"] == code


@pytest.mark.parametrize(("changes", "status", "code"), REFUSALS)
async def test_a_browser_is_told_the_reason_in_a_frame(
    chat: Chat, changes: dict[str, Any], status: int, code: str
) -> None:
    async with connect(chat.url(**changes), origin="https://shop.example") as socket:  # type: ignore[arg-type]  # any text is an origin
        error = json.loads(await socket.recv())
        assert (error["type"], error["code"]) == ("error", code)
        assert error["message"]
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_another_path_takes_no_websocket(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{stack.url.replace('http', 'ws', 1)}/ws/nothing"):
            pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["code"] == "not_found"


# Errors of single messages -----------------------------------------------------------------------


async def test_errors_leave_the_connection_open(chat: Chat) -> None:
    async with chat.connected() as client:
        frames: list[str | bytes] = ["no JSON", "{}", '{"content": 1}', b"\xff"]
        for number, frame in enumerate(frames, start=1):
            await client.socket.send(frame)
            error = await client.hear("error", number)
            assert error["details"]
        await client.say(script({"text": "Hel"}, {"fail": "error"}), message_id="mine")
        failed = await client.hear("error", 5)
        assert failed["code"] == "model_error"
        await client.say(script({"text": "Hello"}))
        ended = await client.hear("message_stream_ended")
    messages = chat.messages()
    assert [message["status"] for message in messages[1::2]] == ["failed", "completed"]
    assert failed["message_id"] == messages[1]["message_id"]
    assert ended["message_id"] == messages[3]["message_id"]


async def test_a_connection_takes_ten_messages_a_second(chat: Chat) -> None:
    async with chat.connected() as client:
        await client.hear("user_created")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(30):
            await client.say(script({"text": "x"}), message_id=str(number))
        async with asyncio.timeout(PATIENCE):
            while sum(kind in {"message_received", "error"} for kind in kinds(client.heard)) < 30:
                client.heard.append(json.loads(await client.socket.recv()))
        seconds = loop.time() - began
        received = kinds(client.heard).count("message_received")
        await client.hear("message_stream_ended", received)
    errors = [event for event in client.heard if event["type"] == "error"]
    assert errors
    assert {event["code"] for event in errors} == {"rate_limit_exceeded"}
    assert 10 <= received <= 10 * (int(seconds) + 2)
    assert len(chat.messages()) == min(2 * received, 50)


async def test_frames_have_the_sizes_of_api_gateway(chat: Chat) -> None:
    async with chat.connected() as client:
        await client.socket.send(["{" + "x" * 30_000, "x" * 30_000])  # two frames of one message
        assert (await client.hear("error"))["code"] == "invalid_request"
        await client.say("x" * 33_000)
        with pytest.raises(ConnectionClosed) as closed:
            await client.hear("message_received")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    async with chat.connected() as client:
        await client.socket.send(["x" * 30_000] * 5)  # over 128 KB
        with pytest.raises(ConnectionClosed):
            await client.hear("message_received")


async def test_a_long_reply_comes_in_frames_of_at_most_32_kb(chat: Chat) -> None:
    piece = "ሰላም 😀 \n" * 100
    async with chat.connected() as client:
        await client.say(script({"text": piece, "repeat": 300}))
        await client.hear("message_stream_ended")
    assert client.longest <= 32 * 1024
    assert text(client.heard) == piece * 300
    assert chat.messages()[-1]["content"] == piece * 300


# Limits -----------------------------------------------------------------------------------------


async def test_a_tenant_has_fifty_connections_and_no_more(stack: Stack) -> None:
    chat = Chat(stack, "sk_test_limited")
    refused: list[int] = []
    established: list[Client] = []
    admitted, enough = asyncio.Event(), 64

    async def come(_: int) -> None:
        try:
            async with chat.connected() as client:
                await client.hear("connection_established")
                established.append(client)
                _count(admitted, len(established) + len(refused), enough)
                await admitted.wait()
        except InvalidStatus as error:
            refused.append(error.response.status_code)
            _count(admitted, len(established) + len(refused), enough)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(come(number) for number in range(enough)))
    assert (len(established), refused) == (50, [429] * 14)
    async with asyncio.timeout(PATIENCE):  # once those have left, there is room again
        while True:
            try:
                async with chat.connected() as client:
                    await client.hear("connection_established")
                    break
            except InvalidStatus:
                await asyncio.sleep(0.2)


def _count(event: asyncio.Event, have: int, want: int) -> None:
    if have == want:
        event.set()


# Gone and back ----------------------------------------------------------------------------------


async def test_a_reply_is_stored_whole_when_its_client_vanishes(chat: Chat) -> None:
    async with chat.connected() as client:
        await client.say(script({"text": "x", "wait": 0.02, "repeat": 100}))
        await client.hear("message_stream_token", 3)
        await client.leave()
    _, reply = await chat.settled()
    assert (reply["status"], reply["content"]) == ("completed", "x" * 100)


@pytest.mark.parametrize("cut", ["message_received", "message_stream_started", 1, 4, 9])
async def test_a_client_that_comes_back_misses_nothing(chat: Chat, cut: str | int) -> None:
    steps = [{"text": f"{number} ", "wait": 0.02} for number in range(100)]
    async with chat.connected() as client:
        await client.say(script(*steps))
        if isinstance(cut, int):
            last = await client.hear("message_stream_token", cut)
        else:
            last = await client.hear(cut)
        await client.leave()
    async with chat.connected(last_seq=last["seq"]) as again:
        await again.hear("message_stream_ended")
    established, *rest = again.heard
    assert established["resumed"] is True
    assert established["seq"] == last["seq"]
    together = client.heard + rest
    assert text(together) == "".join(f"{number} " for number in range(100))
    assert text(together) == chat.messages()[-1]["content"]
    positions = [event["seq"] for event in together]
    assert positions == sorted(set(positions))


async def test_a_client_that_comes_back_late_gets_all_it_missed(chat: Chat) -> None:
    async with chat.connected() as client:
        await client.say(script({"text": "x", "wait": 0.01, "repeat": 50}))
        last = await client.hear("message_received")
        await client.leave()
    await chat.settled()
    async with chat.connected(last_seq=last["seq"]) as again:
        await again.hear("message_stream_ended")
    assert text(again.heard) == "x" * 50


async def test_two_clients_of_a_chat_are_told_the_same(chat: Chat) -> None:
    async with chat.connected() as one, chat.connected() as two:
        for client in (one, two):
            await client.hear("connection_established")
        await one.say(script({"text": "a", "wait": 0.03, "repeat": 20}))
        await two.say(script({"text": "b", "wait": 0.03, "repeat": 20}))
        for client in (one, two):
            await client.hear("message_stream_ended", 2)
    for client in (one, two):
        replies = {
            event["message_id"]: text(
                [e for e in client.heard if e["message_id"] == event["message_id"]]
            )
            for event in client.heard
            if event["type"] == "message_stream_ended"
        }
        assert sorted(replies.values()) == ["a" * 20, "b" * 20]
        positions = [event["seq"] for event in client.heard]
        assert positions == sorted(set(positions))
    assert [message["role"] for message in chat.messages()] == ["user", "assistant"] * 2


# A browser --------------------------------------------------------------------------------------

PAGE = """<!doctype html><script>
const report = (name, what) => fetch("/" + name, {method: "POST", body: JSON.stringify(what)})
for (const [name, url] of Object.entries(CHATS)) {
  const heard = []
  const socket = new WebSocket(url)
  socket.onopen = () => name === "good" && socket.send(JSON.stringify({content: "Hello"}))
  socket.onmessage = message => {
    heard.push(JSON.parse(message.data))
    if (heard.at(-1).type === "message_stream_ended") socket.close()
  }
  socket.onclose = event => report(name, {heard, code: event.code})
}
</script>"""


@contextmanager
def page(html: str) -> Iterator[tuple[str, "Queue[tuple[str, Any]]"]]:
    """Serve a page; its URL, and what it reports."""
    reported: Queue[tuple[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(html.encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            reported.put((self.path.removeprefix("/"), json.loads(body)))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", reported
        finally:
            server.shutdown()
            thread.join()


def test_a_browser_tells_success_and_every_refusal_apart(chat: Chat, tmp_path: Path) -> None:
    browser = which("chromium") or which("chromium-browser") or which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    chats = {
        "good": chat.url(),
        "wrong_key": chat.url(api_key="sk_test_wrong"),
        "no_chat": chat.url(chat_id=str(uuid.uuid4())),
    }
    with page(PAGE.replace("CHATS", json.dumps(chats))) as (url, reported):
        process = subprocess.Popen(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                f"--user-data-dir={tmp_path}",
                "--remote-debugging-port=0",
                url,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            heard = dict(reported.get(timeout=PATIENCE) for _ in chats)
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert kinds(heard["good"]["heard"])[0] == "connection_established"
    assert kinds(heard["good"]["heard"])[-1] == "message_stream_ended"
    assert text(heard["good"]["heard"]) == chat.messages()[-1]["content"]
    for name, code in (("wrong_key", "invalid_api_key"), ("no_chat", "chat_not_found")):
        [error] = heard[name]["heard"]
        assert (error["type"], error["code"]) == ("error", code)
        assert heard[name]["code"] == 1000
