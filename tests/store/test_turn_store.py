"""What a `ConversationStore` promises of messages and turns."""

from dataclasses import replace

import pytest

from parley.domain.conversations import FinishReason, Message, Origin, Role, Scope, Status, Usage
from parley.domain.errors import Conflict, ConversationFull, NotFound, TurnInProgress
from parley.domain.ids import MAX_SEQUENCE, MessageId
from parley.domain.tools import ToolCall, ToolResult
from tests.support.stores import Stores, finished

pytestmark = pytest.mark.anyio

MEGABYTE = 1_000_000
LONG_TEXTS = [
    pytest.param("x" * 349_999, id="just in one item"),
    pytest.param("x" * 350_001, id="just not in one item"),
    pytest.param("ሰ" * 116_667, id="cut within a character"),
    pytest.param("x" + "👩🏽‍🍳" * 60_000, id="1 MB of emoji"),
]


async def test_a_turn_gets_the_next_two_numbers(stores: Stores) -> None:
    conversation = await stores.begin()
    for sequence in (1, 3, 5):
        user, reply = await stores.append(conversation, f"question {sequence}")
        assert user == Message(
            id=MessageId(conversation.id, sequence),
            role=Role.USER,
            text=f"question {sequence}",
            status=Status.COMPLETED,
            created_at=stores.clock.now(),
        )
        assert reply == Message(
            id=MessageId(conversation.id, sequence + 1),
            role=Role.ASSISTANT,
            text="",
            status=Status.PENDING,
            created_at=stores.clock.now(),
            model="a-model",
        )
        conversation, newest = await stores.conversations.get_with_newest(
            stores.scope, conversation.id, 2
        )
        assert newest == (user, reply)


async def test_appending_moves_the_counter_and_the_time_of_the_head(stores: Stores) -> None:
    conversation = await stores.begin(title="kept", system_prompt="kept too", metadata={"a": 1})
    stores.clock.advance(3.25)
    await stores.append(conversation)
    assert await stores.conversations.get(stores.scope, conversation.id) == replace(
        conversation, message_count=2, updated_at=stores.clock.now()
    )


async def test_an_outdated_conversation_appends_behind_the_newest_message(stores: Stores) -> None:
    outdated = await stores.begin()
    for _ in range(3):
        await stores.append(outdated)
    user, reply = await stores.append(outdated)
    assert (user.id.sequence, reply.id.sequence) == (7, 8)


async def test_appending_to_no_conversation_is_not_found(stores: Stores) -> None:
    never_created = stores.new()
    with pytest.raises(NotFound, match=r"No such conversation\."):
        await stores.append(never_created)


async def test_a_turn_that_is_to_be_alone_comes_behind_nothing_unseen(stores: Stores) -> None:
    empty = await stores.begin()
    first = await stores.append(empty, alone=True)
    with pytest.raises(TurnInProgress):
        await stores.append(empty, alone=True)
    head, newest = await stores.conversations.get_with_newest(stores.scope, empty.id, 9)
    assert newest == first
    second = await stores.append(head, alone=True)
    assert [message.id.sequence for message in second] == [3, 4]
    third = await stores.append(empty)
    assert [message.id.sequence for message in third] == [5, 6]


async def test_a_deleted_conversation_is_missing_rather_than_busy(stores: Stores) -> None:
    conversation = await stores.begin()
    await stores.append(conversation)
    await stores.conversations.delete(stores.scope, conversation.id)
    with pytest.raises(NotFound):
        await stores.append(conversation, alone=True)


@pytest.mark.parametrize("count", [MAX_SEQUENCE - 1, MAX_SEQUENCE])
async def test_a_conversation_without_numbers_left_is_full(stores: Stores, count: int) -> None:
    conversation = await stores.begin(message_count=0)
    full = await stores.begin(message_count=count)
    with pytest.raises(ConversationFull):
        await stores.append(full)
    with pytest.raises(ConversationFull):
        await stores.append(replace(full, message_count=0))
    await stores.append(conversation)


@pytest.mark.parametrize(
    "results",
    [
        (ToolResult("a", "23 degrees"),),
        (ToolResult("a", ""), ToolResult("b", "\x1b[1m{ሰ}\x1b[0m"), ToolResult("a", "again")),
        (ToolResult("a", "x" * 600_000), ToolResult("b", "y" * 390_000)),
    ],
    ids=["one", "several", "long ones"],
)
async def test_results_of_calls_are_a_message_of_their_own(
    stores: Stores, results: tuple[ToolResult, ...]
) -> None:
    conversation = await stores.begin()
    said, reply = await stores.append(conversation, "", tool_results=results)
    assert said == Message(
        id=MessageId(conversation.id, 1),
        role=Role.TOOL,
        text="",
        status=Status.COMPLETED,
        created_at=stores.clock.now(),
        tool_results=results,
    )
    _, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 2)
    assert newest == (said, reply)
    _, read = await stores.conversations.get_message(stores.scope, said.id)
    assert read == said


async def test_results_are_appended_only_to_what_was_said_when_they_were_made(
    stores: Stores,
) -> None:
    outdated = await stores.begin()
    await stores.append(outdated)
    with pytest.raises(Conflict):
        await stores.append(outdated, "", tool_results=(ToolResult("a", "23 degrees"),))
    head, newest = await stores.conversations.get_with_newest(stores.scope, outdated.id, 9)
    assert len(newest) == 2
    said, _ = await stores.append(head, "", tool_results=(ToolResult("a", "23 degrees"),))
    assert said.id.sequence == 3


# Settling ----------------------------------------------------------------------------------------


async def test_a_settled_reply_is_read_in_its_final_form(stores: Stores) -> None:
    conversation = await stores.begin()
    user, reply = await stores.take_turn(conversation, "Hello?", "Hi!\n\x00\u2028 ሰላም 🍲")
    head = await stores.conversations.get(stores.scope, conversation.id)
    assert await stores.conversations.messages(head, first=1, last=2) == (user, reply)
    assert stores.settled(stores.tenant) == [reply.id.number]


@pytest.mark.parametrize(
    "final",
    [
        {"finish_reason": FinishReason.LENGTH, "usage": Usage(0, 0)},
        {"status": Status.STOPPED, "finish_reason": None, "usage": None},
        {"status": Status.FAILED, "finish_reason": None, "error": "model_error"},
        {"status": Status.INTERRUPTED, "finish_reason": None, "usage": Usage(9, 0)},
    ],
)
async def test_every_way_a_reply_ends_is_kept_apart(
    stores: Stores, final: dict[str, object]
) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    reply = finished(pending, "some text", **final)
    assert await stores.settle(reply)
    _, (read,) = await stores.conversations.get_with_newest(stores.scope, conversation.id, 1)
    assert read == reply


@pytest.mark.parametrize("text", ["", "It is warm.", "x" * 350_001])
async def test_thoughts_and_calls_are_kept_beside_the_text(stores: Stores, text: str) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    reply = finished(
        pending,
        text,
        finish_reason=FinishReason.TOOL_CALLS,
        usage=Usage(11, 7, cached_tokens=5, reasoning_tokens=3),
        reasoning="Whoever asks will go. ሰ",
        tool_calls=(ToolCall("a", "f", '{"x": "ሰ"}'), ToolCall("b", "g", "not JSON")),
    )
    assert await stores.settle(reply)
    _, stored = await stores.conversations.get_message(stores.scope, reply.id)
    assert stored == reply


async def test_a_reply_keeps_what_its_caller_was_told_of_its_end(stores: Stores) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    stores.clock.advance(2.000_001)
    reply = finished(
        pending,
        "So far",
        status=Status.FAILED,
        error="model_error",
        error_message="The model failed. ሰ",
        ended_at=stores.clock.now(),
    )
    assert await stores.settle(reply)
    _, stored = await stores.conversations.get_message(stores.scope, reply.id)
    assert stored == reply


async def test_a_reply_keeps_who_asked_for_it_whatever_settles_it(stores: Stores) -> None:
    conversation = await stores.begin()
    telling = {"id": "chatcmpl-1", "n": 1.5, "list": [None, True], "text": "ሰ"}
    origin = Origin(dialect="openai", key_id="key-1", user="alice", telling=telling)
    for settling in (None, replace(origin, dialect="another")):
        user, pending = await stores.append(conversation, origin=origin)
        assert (user.origin, pending.origin) == (None, origin)
        _, stored = await stores.conversations.get_message(stores.scope, pending.id)
        assert stored == pending
        assert await stores.settle(finished(pending, "Hi!", origin=settling))
        _, stored = await stores.conversations.get_message(stores.scope, pending.id)
        assert stored == finished(pending, "Hi!", origin=origin)


async def test_only_the_first_settling_counts(stores: Stores) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    assert await stores.settle(finished(pending, "first"))
    stores.clock.advance(86_400)
    assert not await stores.settle(finished(pending, "second"))
    assert not await stores.settle(finished(pending, "x" * MEGABYTE))
    _, (read,) = await stores.conversations.get_with_newest(stores.scope, conversation.id, 1)
    assert read.text == "first"
    assert stores.settled(stores.tenant) == [pending.id.number]


async def test_a_second_long_text_leaves_the_first_whole(stores: Stores) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    assert await stores.settle(finished(pending, "a" * MEGABYTE))
    assert not await stores.settle(finished(pending, "a" * MEGABYTE))
    assert not await stores.settle(finished(pending, "b" * MEGABYTE))
    _, (read,) = await stores.conversations.get_with_newest(stores.scope, conversation.id, 1)
    assert read.text == "a" * MEGABYTE


async def test_what_is_not_a_pending_reply_is_not_settled(stores: Stores) -> None:
    conversation = await stores.begin()
    user, pending = await stores.append(conversation)
    assert not await stores.settle(replace(user, text="overwritten"))
    assert stores.settled(stores.tenant) == []
    _, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 5)
    assert newest == (user, pending)


async def test_what_a_turn_used_whose_conversation_is_deleted_is_billed_once(
    stores: Stores,
) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    await stores.conversations.delete(stores.scope, conversation.id)
    for _ in range(2):
        assert not await stores.settle(finished(pending, "too late"))
    assert stores.settled(stores.tenant) == [pending.id.number]


async def test_a_tenant_settles_no_other_tenants_reply(stores: Stores) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    record = replace(stores.record(pending), tenant=stores.tenant + "-other")
    assert not await stores.conversations.settle(finished(pending, "stolen"), record)
    assert await stores.settle(finished(pending, "mine"))


async def test_turns_settle_in_any_order(stores: Stores) -> None:
    conversation = await stores.begin()
    _, first = await stores.append(conversation)
    _, second = await stores.append(conversation)
    assert await stores.settle(finished(second, "second"))
    assert await stores.settle(finished(first, "first"))
    _, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 4)
    assert [message.text for message in newest] == ["Hello?", "first", "Hello?", "second"]


# Long texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", LONG_TEXTS)
async def test_no_text_is_too_long_to_be_kept_whole(stores: Stores, text: str) -> None:
    conversation = await stores.begin()
    user, reply = await stores.take_turn(conversation, text, text[::-1])
    _, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 2)
    assert newest == (user, reply)
    head = await stores.conversations.get(stores.scope, conversation.id)
    assert await stores.conversations.messages(head, first=2, last=2) == (reply,)


async def test_a_reply_may_be_longer_than_any_transaction(stores: Stores) -> None:
    conversation = await stores.begin()
    text = "".join(chr(0x1200 + number % 256) for number in range(2 * MEGABYTE))
    _, reply = await stores.take_turn(conversation, answer=text)
    _, (read,) = await stores.conversations.get_with_newest(stores.scope, conversation.id, 1)
    assert read == reply


async def test_long_texts_do_not_disturb_pages(stores: Stores) -> None:
    conversation = await stores.begin(system_prompt="Be brief.")
    turns = [await stores.take_turn(conversation, "q" * 400_000, "a" * 300_000) for _ in range(6)]
    expected = tuple(message for turn in turns for message in turn)
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 7)
    assert newest == expected[-7:]
    assert await stores.conversations.messages(head, first=3, last=6) == expected[2:6]


# Pages -------------------------------------------------------------------------------------------


async def test_a_range_of_messages_is_read_in_order(stores: Stores) -> None:
    conversation = await stores.begin()
    for _ in range(6):
        await stores.take_turn(conversation)
    head = await stores.conversations.get(stores.scope, conversation.id)
    for first, last in [
        (1, 12),
        (1, 1),
        (12, 12),
        (4, 9),
        (9, 99),
        (-5, 2),
        (0, 0),
        (7, 3),
        (13, 20),
    ]:
        messages = await stores.conversations.messages(head, first=first, last=last)
        expected = list(range(max(first, 1), min(last, 12) + 1))
        assert [message.id.sequence for message in messages] == expected


async def test_an_empty_conversation_has_no_messages(stores: Stores) -> None:
    conversation = await stores.begin(system_prompt="Be brief.")
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 9)
    assert (head, newest) == (conversation, ())
    assert await stores.conversations.messages(head, first=1, last=50) == ()


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 6, 7, 50])
@pytest.mark.parametrize("prompt", [None, "Be brief."])
async def test_the_newest_messages_come_with_the_head_oldest_first(
    stores: Stores, limit: int, prompt: str | None
) -> None:
    conversation = await stores.begin(system_prompt=prompt)
    for _ in range(3):
        await stores.append(conversation)
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, limit)
    assert (head.message_count, head.system_prompt) == (6, prompt)
    assert [message.id.sequence for message in newest] == list(range(max(7 - limit, 1), 7))


async def test_a_user_scope_reads_its_own_conversations(stores: Stores) -> None:
    conversation = await stores.begin(user="alice")
    await stores.take_turn(conversation)
    alice = Scope(stores.tenant, "alice")
    head, newest = await stores.conversations.get_with_newest(alice, conversation.id, 9)
    assert head == await stores.conversations.get(alice, conversation.id)
    assert len(newest) == 2
