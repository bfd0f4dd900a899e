"""Live chats: who is let in, what is told to whom, and what outlasts a connection."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from parley.domain.conversations import Role, Status
from parley.domain.errors import (
    InvalidRequest,
    MissingField,
    NotFound,
    StoreUnavailable,
    TooManyConnections,
    Unauthenticated,
)
from parley.domain.ids import ConversationId
from parley.domain.sockets import (
    Answer,
    ChatEvent,
    ChatRef,
    Entry,
    Greet,
    Job,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
)
from parley.domain.tenants import Limits, OutOfScope
from parley.domain.turns import LEASE_SECONDS
from tests.support.clock import ManualClock
from tests.support.live import World, kinds, script, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(clock)


# A conversation ---------------------------------------------------------------------------------


async def test_a_message_is_told_and_answered_in_order(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "Hel"}, {"text": "lo"}), message_id="mine-1")
    await world.work()

    heard = world.heard()
    assert kinds(heard)[:4] == [
        "connection_established",
        "user_created",
        "message_received",
        "message_stream_started",
    ]
    assert set(kinds(heard)[4:-1]) == {"message_stream_token"}
    assert kinds(heard)[-1] == "message_stream_ended"
    assert text(heard) == "Hello"
    received, ended = heard[2], heard[-1]
    assert received["client_message_id"] == "mine-1"
    assert ended["status"] == "completed"
    assert ended["finish_reason"] == "stop"
    assert ended["usage"]["completion_tokens"] == 2
    said, reply = await world.history()
    assert (received["message_id"], ended["message_id"]) == (str(said.id), str(reply.id))
    assert reply.text == "Hello"
    assert {event["chat_id"] for event in heard} == {chat}
    positions = [event["seq"] for event in heard]
    assert positions == sorted(set(positions))


async def test_a_user_is_created_once(world: World) -> None:
    first, second = await world.begin(7), await world.begin(8)
    await world.connect(first, "c1")
    await world.connect(second, "c2")
    await world.connect(first, "c3")
    told = [kinds(world.heard(name)).count("user_created") for name in ("c1", "c2", "c3")]
    assert told == [1, 0, 0]


async def test_a_client_may_speak_before_it_is_greeted_and_misses_nothing(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, greet=False)
    await world.say("Hello")
    assert world.heard() == []
    await world.work(Greet)
    await world.work()
    heard = kinds(world.heard())
    assert heard[:2] == ["connection_established", "message_received"]
    assert heard[-1] == "message_stream_ended"


async def test_a_greeting_waits_for_the_end_of_the_handshake(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, greet=False)
    told = world.sockets.open.pop("c1")
    greeting = asyncio.create_task(world.work(Greet))
    await asyncio.sleep(0.02)
    assert not greeting.done()
    world.sockets.open["c1"] = told
    await greeting
    assert kinds(world.heard())[0] == "connection_established"


async def test_everyone_connected_to_a_chat_is_told_everything(world: World) -> None:
    chat, other = await world.begin(7), await world.begin(8)
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    await world.connect(other, "c3")
    await world.say("Hello", "c1")
    await world.work()
    told = [event for event in world.heard("c1") if event["type"].startswith("message")]
    assert told == [event for event in world.heard("c2") if event["type"].startswith("message")]
    assert kinds(world.heard("c3")) == ["connection_established"]


async def test_two_messages_at_once_are_both_answered_and_told_in_one_order(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    for name, letter in (("c1", "a"), ("c2", "b")):
        await world.say(script({"text": letter, "wait": 0.03, "repeat": 10}), name)
    jobs = list(world.workers.jobs)
    await asyncio.gather(*(world.instance().perform(job) for job in jobs))
    for name in ("c1", "c2"):
        heard = world.heard(name)
        assert kinds(heard).count("message_stream_ended") == 2
        positions = [event["seq"] for event in heard]
        assert positions == sorted(set(positions))
        for message in {event["message_id"] for event in heard} - {None}:
            said = text([event for event in heard if event["message_id"] == message])
            assert said in {"", "a" * 10, "b" * 10}
    assert [message.role for message in await world.history()] == [Role.USER, Role.ASSISTANT] * 2


async def test_no_frame_is_over_32_kb_and_no_character_is_torn(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    long = "ሰላም 😀\n\x01" * 4000
    await world.say(script({"text": long}, {"text": long}))
    await world.work()
    frames = world.sockets.open["c1"]
    assert max(len(frame.encode()) for frame in frames) <= 32_000
    assert text(world.heard()) == long * 2
    received = world.heard()[2]
    assert received["type"] == "message_received"
    assert received["content"] is None


async def test_many_small_pieces_make_few_writes(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "x", "repeat": 2000}))
    await world.work()
    assert text(world.heard()) == "x" * 2000
    assert kinds(world.heard()).count("message_stream_token") <= 3


# What goes wrong with one message ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("nonsense", "invalid_request", None),
        ("[]", "invalid_request", None),
        ("{}", "missing_parameter", "content"),
        ('{"content": ""}', "invalid_parameter", "content"),
        ('{"content": 1}', "invalid_parameter", "content"),
        ('{"content": "\\u0000"}', "invalid_parameter", "content"),
        ('{"content": "\\ud800"}', "invalid_request", None),
        ('{"content": "x", "message_id": ""}', "invalid_parameter", "message_id"),
        ("[" * 100_000, "invalid_request", None),
    ],
)
async def test_an_error_of_one_message_is_told_and_the_connection_stays(
    world: World, frame: str, code: str, field: str | None
) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.chats.receive("c1", frame)
    error = world.heard()[-1]
    assert (error["type"], error["code"]) == ("error", code)
    assert error["message"]
    assert error["details"].get("field") == field
    assert await world.history() == ()
    await world.say("Hello")
    await world.work()
    assert kinds(world.heard())[-1] == "message_stream_ended"


async def test_only_the_sender_is_told_of_its_error(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    await world.chats.receive("c1", "nonsense")
    assert "error" in kinds(world.heard("c1"))
    assert "error" not in kinds(world.heard("c2"))


async def test_ten_messages_a_second_are_taken_on_each_connection(clock: ManualClock) -> None:
    world = World(clock)
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    for name in ("c1", "c2"):
        for _ in range(11):
            await world.say("Hello", name)
    answers = [job for job in world.workers.jobs if isinstance(job, Answer)]
    assert len(answers) == 20
    error = [event for event in world.heard("c1") if event["type"] == "error"]
    assert [event["code"] for event in error] == ["rate_limit_exceeded"]
    clock.advance(1)
    await world.say("Hello", "c1")
    assert kinds(world.heard("c1"))[-1] == "message_received"


async def test_a_turn_that_fails_midway_ends_with_an_error_and_is_stored_so(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "Hel"}, {"wait": 0.01}, {"fail": "error"}))
    await world.work()
    *_, error = world.heard()
    _, reply = await world.history()
    assert (error["type"], error["code"]) == ("error", "model_error")
    assert error["message_id"] == str(reply.id)
    assert "message_stream_ended" not in kinds(world.heard())
    assert (reply.status, reply.text) == (Status.FAILED, "Hel")


async def test_a_turn_that_no_model_takes_up_is_told_as_an_error(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"fail": "throttled"}))
    await world.work()
    *_, error = world.heard()
    _, reply = await world.history()
    assert (error["type"], error["code"]) == ("error", "model_throttled")
    assert error["message_id"] == str(reply.id)
    assert reply.status is Status.FAILED


async def test_a_message_whose_worker_cannot_start_is_told_as_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Job) -> None:
        raise StoreUnavailable("No.")

    chat = await world.begin()
    await world.connect(chat)
    monkeypatch.setattr(world.workers, "start", refuse)
    await world.say("Hello", message_id="mine")
    assert kinds(world.heard())[-2:] == ["message_received", "error"]
    assert world.heard()[-1]["client_message_id"] == "mine"


async def test_a_deleted_chat_takes_no_messages(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.store.delete(world.scope, ConversationId(7))
    await world.say("Hello")
    assert world.heard()[-1]["code"] == "chat_not_found"


async def test_a_revoked_key_takes_no_messages(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.directory.put_key(replace(world.key, revoked_at=world.clock.now()))
    await world.say("Hello")
    assert world.heard()[-1]["code"] == "invalid_api_key"


async def test_an_expired_key_takes_no_messages(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.directory.put_key(replace(world.key, expires_at=world.clock.now()))
    await world.say("Hello")
    assert world.heard()[-1]["code"] == "invalid_api_key"


async def test_a_suspended_tenants_connections_take_no_messages(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.directory.put_tenant(replace(world.tenant, suspended_at=world.clock.now()))
    await world.say("Hello")
    assert world.heard()[-1]["code"] == "tenant_suspended"


async def test_a_key_for_other_apis_is_not_let_in(world: World) -> None:
    chat = await world.begin()
    world.key = replace(world.key, scopes=frozenset({"openai"}))
    world.chats = world.instance()
    with pytest.raises(OutOfScope):
        await world.connect(chat)


# Who is let in ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"credential": "sk_test_wrong"}, Unauthenticated),
        ({"credential": None}, Unauthenticated),
        ({"user": None}, MissingField),
        ({"chat": None}, MissingField),
        ({"chat": "00000000-0000-0000-0000-000000000000"}, NotFound),
        ({"user": "user-2"}, NotFound),
        ({"last_seen": "x"}, InvalidRequest),
        ({"last_seen": "-1"}, InvalidRequest),
        ({"last_seen": "9" * 40}, InvalidRequest),
    ],
)
async def test_a_wrong_handshake_is_refused_and_takes_no_slot(
    world: World, changes: dict[str, Any], error: type[Exception]
) -> None:
    chat = await world.begin()
    with pytest.raises(error):
        await world.connect(chat, **changes)
    assert await world.connections.slots("acme") == ()
    assert world.workers.jobs == []


async def test_a_client_that_sees_no_status_is_told_why_and_then_closed(world: World) -> None:
    told: list[str] = []
    world.sockets.open["c9"] = told
    await world.chats.refuse("c9", Unauthenticated("Incorrect API key provided."))
    await world.work()
    assert json.loads(told[0])["code"] == "invalid_api_key"
    assert world.sockets.closed == ["c9"]


async def test_what_a_refused_client_says_is_answered_with_an_error(world: World) -> None:
    world.sockets.open["c9"] = []
    await world.say("Hello", "c9")
    assert kinds(world.heard("c9")) == ["error"]


async def test_a_tenant_has_so_many_connections_and_no_more(clock: ManualClock) -> None:
    world = World(clock, Limits(connections=2))
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    with pytest.raises(TooManyConnections):
        await world.connect(chat, "c3")
    await world.chats.close("c1")
    await world.connect(chat, "c3")


async def test_a_connection_that_went_unnoticed_gives_its_slot_to_the_next(
    clock: ManualClock,
) -> None:
    world = World(clock, Limits(connections=2))
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    del world.sockets.open["c1"]
    with pytest.raises(TooManyConnections):  # its handshake might still be going on
        await world.connect(chat, "c3")
    clock.advance(31)
    await world.connect(chat, "c3")
    assert {slot.connection for slot in await world.connections.slots("acme")} == {"c2", "c3"}
    assert await world.connections.find("c1") is None


async def test_a_handshake_that_fails_late_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Job) -> None:
        raise StoreUnavailable("No.")

    chat = await world.begin()
    monkeypatch.setattr(world.workers, "start", refuse)
    with pytest.raises(StoreUnavailable):
        await world.connect(chat)
    assert await world.connections.slots("acme") == ()
    assert await world.connections.find("c1") is None


# Gone and back ----------------------------------------------------------------------------------


async def test_a_reply_is_stored_whole_when_its_client_is_gone(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "x", "wait": 0.02, "repeat": 20}))
    working = asyncio.create_task(world.work())
    await until(lambda: "message_stream_token" in kinds(world.heard()))
    del world.sockets.open["c1"]
    await working
    _, reply = await world.history()
    assert (reply.status, reply.text) == (Status.COMPLETED, "x" * 20)
    assert await world.connections.find("c1") is None
    assert await world.connections.slots("acme") == ()


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5, 8])
async def test_a_client_that_comes_back_gets_what_it_missed_and_then_the_rest(
    world: World, cut: int
) -> None:
    chat = await world.begin()
    await world.connect(chat, "watcher")
    await world.connect(chat, "c1")
    steps = [{"text": f"{number} ", "wait": 0.03} for number in range(30)]
    await world.say(script(*steps))
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.heard("c1")) > cut + 1)
    before = world.heard("c1")[: cut + 1]
    del world.sockets.open["c1"]
    await until(lambda: len(world.heard("watcher")) > cut + 5)
    await world.connect(chat, "c2", last_seen=str(before[-1]["seq"]), greet=False)
    [greeting] = [job for job in world.workers.jobs if isinstance(job, Greet)]
    await world.instance().perform(greeting)
    await working
    after = world.heard("c2")
    assert after[0]["type"] == "connection_established"
    assert after[0]["seq"] == before[-1]["seq"]
    together = before + after[1:]
    assert text(together) == "".join(f"{number} " for number in range(30))
    assert kinds(together)[-1] == "message_stream_ended"
    positions = [event["seq"] for event in together]
    assert positions == sorted(set(positions))


async def test_coming_back_says_whether_nothing_was_missed(
    world: World, clock: ManualClock
) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.say("Hello")
    await world.work()
    last = str(world.heard()[-1]["seq"])
    await world.connect(chat, "c2", last_seen=last)
    clock.advance(2 * 24 * 3600)
    await world.connect(chat, "c3", last_seen=last)
    await world.connect(chat, "c4")
    resumed = [world.heard(name)[0]["resumed"] for name in ("c2", "c3", "c4")]
    assert resumed == [True, False, False]


async def test_a_catching_up_client_gets_few_frames(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.say(script({"text": "x", "wait": 0.005, "repeat": 100}))
    await world.work()
    start = world.heard()[0]["seq"]
    await world.connect(chat, "c2", last_seen=str(start))
    told = world.heard("c2")
    assert text(told) == "x" * 100
    assert kinds(told).count("message_stream_token") == 1
    assert told[-1]["seq"] == world.heard("c1")[-1]["seq"]


async def test_a_job_done_twice_is_answered_once(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "Hello"}))
    [job] = world.workers.jobs
    await asyncio.gather(*(world.instance().perform(job) for _ in range(3)))
    assert text(world.heard()) == "Hello"
    assert len(world.store.ledger) == 1


async def test_what_a_dead_courier_left_is_told_when_its_lease_is_over(
    world: World, clock: ManualClock
) -> None:
    chat = await world.begin()
    await world.connect(chat)
    connection = await world.connections.find("c1")
    assert connection is not None
    until_then = clock.now()
    clock.advance(-3)
    await world.events.lease(connection.chat, "dead", until=until_then)
    await world.say("Hello")
    assert kinds(world.heard())[-1] == "user_created"
    working = asyncio.create_task(world.work())
    await asyncio.sleep(0.05)
    assert "message_received" not in kinds(world.heard())
    clock.advance(3)
    await working
    assert kinds(world.heard())[2] == "message_received"
    assert kinds(world.heard())[-1] == "message_stream_ended"


async def test_a_courier_that_loses_its_lease_midway_leaves_nothing_untold(
    world: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    for _ in range(3):
        await world.say("Hello", "c1")
    start = world.heard("c1")[0]["seq"]
    post = world.sockets.post

    async def slow(connection: str, frame: str) -> None:
        clock.advance(2)  # three make longer than a lease
        await post(connection, frame)

    monkeypatch.setattr(world.sockets, "post", slow)
    await world.connect(chat, "c2", last_seen=str(start))
    assert world.heard("c2")[1:] == world.heard("c1")[1:]


async def test_a_client_that_cannot_be_reached_for_a_moment_is_told_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await world.begin()
    await world.connect(chat)
    post, troubles = world.sockets.post, iter([True])

    async def troubled(connection: str, frame: str) -> None:
        if next(troubles, False):
            raise StoreUnavailable("No.")
        await post(connection, frame)

    monkeypatch.setattr(world.sockets, "post", troubled)
    await world.say("Hello")
    assert kinds(world.heard())[-1] == "message_received"


async def test_a_message_said_again_is_taken_once_and_its_sender_told_so(world: World) -> None:
    chat = await world.begin()
    await world.connect(chat, "c1")
    await world.connect(chat, "c2")
    for _ in range(2):
        await world.say("script:[]", message_id="mine")
    first, again = [each for each in world.heard() if each["type"] == "message_received"]
    assert (first["message_id"], first["content"]) == (again["message_id"], again["content"])
    assert kinds(world.heard("c2")).count("message_received") == 1
    await world.work()
    await world.say("script:[]", message_id="mine")
    await world.work()
    assert kinds(world.heard()).count("message_stream_ended") == 1
    assert len(await world.history()) == 2


async def test_a_message_id_with_another_text_is_refused(world: World) -> None:
    await world.connect(await world.begin())
    await world.say("script:[]", message_id="mine")
    await world.say("script:[] ", message_id="mine")
    error = world.heard()[-1]
    assert (error["type"], error["code"]) == ("error", "idempotency_key_reused")
    assert error["client_message_id"] == "mine"
    assert len(await world.history()) == 2


@pytest.mark.parametrize("who", ["the worker's second try", "a client that comes back"])
async def test_a_reply_whose_worker_died_is_told_as_interrupted_once(
    world: World, clock: ManualClock, who: str
) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "Hel"}, {"wait": 3600}))
    [job] = [job for job in world.workers.jobs if isinstance(job, Answer)]
    others = asyncio.all_tasks()
    worker = asyncio.create_task(world.instance().perform(job))
    await until(lambda: "message_stream_token" in kinds(world.heard()))
    doomed = asyncio.all_tasks() - others | {worker}
    for task in doomed:
        task.cancel()
    await asyncio.gather(*doomed, return_exceptions=True)
    clock.advance(LEASE_SECONDS + 10)
    seen = len(world.heard())
    for name in ("c2", "c3"):
        if who == "a client that comes back":
            await world.connect(chat, name)
        else:
            await world.chats.perform(job)
    errors = [each for each in world.heard()[seen:] if each["type"] == "error"]
    assert [each["code"] for each in errors] == ["interrupted"]
    [_, reply] = await world.history()
    assert (str(reply.id), reply.status) == (errors[0]["message_id"], Status.INTERRUPTED)


async def test_who_says_it_again_too_late_to_be_answered_is_told_so(
    world: World, clock: ManualClock
) -> None:
    """It was made durable, and whoever was to have it answered died: no worker was ever asked."""
    await world.connect(await world.begin())
    await world.say("script:[]", message_id="mine")
    world.workers.jobs.clear()
    clock.advance(LEASE_SECONDS + 10)
    for _ in range(2):
        await world.say("script:[]", message_id="mine")
        await world.work()
    [error] = [each for each in world.heard() if each["type"] == "error"]
    [_, reply] = await world.history()
    assert (error["code"], error["message_id"]) == ("interrupted", str(reply.id))
    assert reply.status is Status.INTERRUPTED


@pytest.mark.parametrize("last", ["message_received", "message_stream_started", "token"])
async def test_a_reply_whose_worker_died_when_it_had_settled_it_is_told_to_its_end_once(
    world: World, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    await world.connect(await world.begin())
    await world.say(script({"text": "Hel"}, {"text": "lo"}), message_id="mine")
    [job] = [job for job in world.workers.jobs if isinstance(job, Answer)]
    append = world.events.append
    untold = {
        "message_received": (ReplyStarted, ReplyText, ReplyEnded),
        "message_stream_started": (ReplyText, ReplyEnded),
        "token": (ReplyEnded,),
    }[last]

    async def lose(chat: ChatRef, event: ChatEvent, **how: Any) -> Entry:
        if not isinstance(event, untold):
            return await append(chat, event, **how)
        raise RuntimeError("as if it were dead")

    with monkeypatch.context() as dying:
        dying.setattr(world.events, "append", lose)
        with pytest.raises(RuntimeError):
            await world.chats.perform(job)
    assert kinds(world.heard())[-1] == ("message_stream_token" if last == "token" else last)
    await world.instance().perform(job)  # the worker may be alive, and about to tell
    assert "message_stream_ended" not in kinds(world.heard())
    clock.advance(LEASE_SECONDS + 10)
    await world.instance().perform(job)
    await world.say(script({"text": "Hel"}, {"text": "lo"}), message_id="mine")
    await world.work()
    heard = world.heard()
    assert text(heard) == "Hello"
    assert kinds(heard).count("message_stream_started") == 1
    [ended] = [each for each in heard if each["type"] == "message_stream_ended"]
    assert ended["status"] == "completed"


async def test_a_reply_that_was_told_to_its_end_is_told_once(
    world: World, clock: ManualClock
) -> None:
    chat = await world.begin()
    await world.connect(chat)
    await world.say(script({"text": "Hello"}), message_id="mine")
    await world.work()
    clock.advance(LEASE_SECONDS + 10)
    await world.connect(chat, "c2")
    for name in ("c1", "c2"):
        await world.say(script({"text": "Hello"}), name, message_id="mine")
        await world.work()
    assert kinds(world.heard()).count("message_stream_ended") == 1
    assert kinds(world.heard("c2"))[-1] == "message_received"


async def until(condition: Any) -> None:
    """Wait for what another task brings about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
