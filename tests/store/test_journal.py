"""What a `ConversationStore` promises of what running turns keep."""

from dataclasses import replace

import pytest

from parley.domain.conversations import Message
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import (
    JOURNAL_LIFETIME,
    Checkpoint,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from tests.support.stores import Stores, finished

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["of a conversation", "stateless"])
async def reply(request: pytest.FixtureRequest, stores: Stores) -> Message:
    """A pending reply of either kind."""
    if request.param == "stateless":
        return await stores.begin_completion()
    _, reply = await stores.append(await stores.begin())
    return reply


async def keep(stores: Stores, reply: Message, *checkpoints: Checkpoint) -> None:
    for each in checkpoints:
        await stores.conversations.checkpoint(stores.tenant, reply.id, each)


async def kept(stores: Stores, reply: Message, after: int = 0) -> tuple[Checkpoint, ...]:
    return await stores.conversations.checkpoints(stores.tenant, reply.id, after=after)


async def last_sign(stores: Stores, reply: Message) -> object:
    return await stores.conversations.last_sign(stores.tenant, reply.id)


async def test_a_reply_grows_in_order(stores: Stores, reply: Message) -> None:
    grown, shown = [], 0
    for number in range(1, 13):
        stores.clock.advance(1.000_001)
        grown.append(stores.grown(number, [f"{number}", "ሰላም 🍲\n"], shown=shown))
        await keep(stores, reply, grown[-1])
        shown += 2
        assert await kept(stores, reply) == tuple(grown)


async def test_every_kind_of_piece_is_read_as_it_was_kept(stores: Stores, reply: Message) -> None:
    grown = stores.grown(
        1,
        [
            TextDelta("plain"),
            TextDelta("likely", ({"token": "likely", "logprob": -0.25, "top_logprobs": []},)),
            ReasoningDelta("Well …"),
            ReasoningDelta("t"),
            ToolCallDelta(0, "", id="call-1", name="find"),
            ToolCallDelta(1, '{"q": "ሰ'),
            TextDelta("\x00\ud7ff\u2028"),
        ],
        shows=5,
    )
    await keep(stores, reply, grown)
    assert await kept(stores, reply) == (grown,)


@pytest.mark.parametrize("after", range(7))
async def test_whoever_has_some_of_it_reads_only_what_goes_beyond(
    stores: Stores, reply: Message, after: int
) -> None:
    grown = (
        stores.grown(1, [ReasoningDelta("Hm.")], shows=0),
        stores.grown(2, ["a", "b"]),
        stores.grown(3, ["c", ReasoningDelta("?"), "d"], shown=2, shows=2),
        stores.grown(4, [ReasoningDelta("!")], shown=4, shows=0),
        stores.grown(5, ["e"], shown=4),
        stores.grown(6, ["f"], shown=5),
    )
    await keep(stores, reply, *grown)
    expected = {0: grown, 1: grown[1:], 2: grown[2:], 3: grown[2:], 4: grown[4:], 5: grown[5:]}
    assert await kept(stores, reply, after) == expected.get(after, ())


async def test_keeping_the_same_twice_is_keeping_it_once(stores: Stores, reply: Message) -> None:
    grown = stores.grown(1, ["a"])
    await keep(stores, reply, grown, grown)
    assert await kept(stores, reply) == (grown,)


async def test_replies_grow_apart(stores: Stores) -> None:
    conversation = await stores.begin()
    _, first = await stores.append(conversation)
    for _ in range(5):
        _, last = await stores.append(conversation)
    for reply in (first, last):
        await keep(stores, reply, stores.grown(1, [f"{reply.id.sequence}"]))
    assert await kept(stores, first) == (stores.grown(1, ["2"]),)
    assert await kept(stores, last) == (stores.grown(1, ["12"]),)
    _, between = await stores.append(conversation)
    assert await kept(stores, between) == ()


async def test_a_tenant_reads_nothing_of_anothers_reply(stores: Stores, reply: Message) -> None:
    await keep(stores, reply, stores.grown(1, ["a"]))
    other = f"{stores.tenant}-other"
    assert await stores.conversations.checkpoints(other, reply.id) == ()
    assert await stores.conversations.last_sign(other, reply.id) is None


async def test_what_a_reply_grew_by_disturbs_no_page(stores: Stores) -> None:
    conversation = await stores.begin(system_prompt="Be brief.")
    said: list[Message] = []
    for _ in range(3):
        user, reply = await stores.append(conversation)
        await keep(stores, reply, *(stores.grown(n, ["a"], shown=n - 1) for n in range(1, 5)))
        said += [user, reply]
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 5)
    assert newest == tuple(said[1:])
    assert await stores.conversations.messages(head, first=1, last=6) == tuple(said)


# Signs of life -----------------------------------------------------------------------------------


async def test_a_turn_that_kept_nothing_gave_no_sign(stores: Stores, reply: Message) -> None:
    assert await last_sign(stores, reply) is None


async def test_the_newest_sign_counts_with_something_to_keep_or_without(
    stores: Stores, reply: Message
) -> None:
    signs: list[tuple[int, list[str], int]] = [
        (1, [], 0),
        (1, [], 0),
        (1, ["a", "b"], 0),
        (2, [], 2),
        (2, ["c"], 2),
        (3, [], 3),
    ]
    for number, deltas, shown in signs:
        stores.clock.advance(5)
        await keep(stores, reply, stores.grown(number, deltas, shown=shown))
        assert await last_sign(stores, reply) == stores.clock.now()


async def test_what_nobody_is_shown_is_a_sign_too(stores: Stores, reply: Message) -> None:
    for number in (1, 2, 3):
        stores.clock.advance(5)
        await keep(stores, reply, stores.grown(number, [ReasoningDelta("Hm.")], shows=0))
        assert await last_sign(stores, reply) == stores.clock.now()
    assert [each.number for each in await kept(stores, reply)] == [1, 2, 3]


async def test_signs_of_life_are_no_part_of_the_reply(stores: Stores, reply: Message) -> None:
    first, second = stores.grown(1, ["a"]), stores.grown(2, ["b"], shown=1)
    await keep(stores, reply, stores.grown(1, []), first, stores.grown(2, [], shown=1), second)
    assert await kept(stores, reply) == (first, second)
    hidden = stores.grown(3, [ReasoningDelta("Hm.")], shown=2, shows=0)
    await keep(stores, reply, stores.grown(3, [], shown=2), hidden)
    assert await kept(stores, reply) == (first, second, hidden)


# Ends --------------------------------------------------------------------------------------------


async def test_the_last_piece_comes_with_the_settled_reply(stores: Stores, reply: Message) -> None:
    first, last = stores.grown(1, ["a"]), stores.grown(2, ["b"], shown=1)
    await keep(stores, reply, first)
    assert await stores.settle(finished(reply, "ab"), last)
    assert await kept(stores, reply) == (first, last)


async def test_who_settles_too_late_adds_nothing(stores: Stores, reply: Message) -> None:
    assert await stores.settle(finished(reply, "a"), stores.grown(1, ["a"]))
    assert not await stores.settle(finished(reply, "ab"), stores.grown(2, ["b"], shown=1))
    assert await kept(stores, reply) == (stores.grown(1, ["a"]),)


async def test_it_can_be_read_for_a_day_after_the_end_and_then_not(
    stores: Stores, reply: Message
) -> None:
    await keep(stores, reply, stores.grown(1, ["a"]))
    stores.clock.advance(3_600)
    last = stores.grown(2, ["b"], shown=1)
    assert await stores.settle(finished(reply, "ab"), last)
    stores.clock.advance(86_400 - 1)
    assert [each.number for each in await kept(stores, reply)] == [1, 2]
    stores.clock.advance(1)
    assert await kept(stores, reply) == (last,)
    assert await last_sign(stores, reply) == last.at
    stores.clock.advance(JOURNAL_LIFETIME.total_seconds())
    assert await kept(stores, reply) == ()
    assert await last_sign(stores, reply) is None


async def test_it_is_gone_with_its_conversation(stores: Stores) -> None:
    conversation, other = await stores.begin(), await stores.begin()
    _, doomed = await stores.append(conversation)
    _, alive = await stores.append(other)
    for reply in (doomed, alive):
        await keep(stores, reply, stores.grown(1, ["a"]))
    await stores.conversations.delete(stores.scope, conversation.id)
    assert await kept(stores, doomed) == ()
    assert await last_sign(stores, doomed) is None
    assert await kept(stores, alive) == (stores.grown(1, ["a"]),)


async def test_a_turn_that_ends_after_its_conversation_leaves_nothing(stores: Stores) -> None:
    conversation = await stores.begin()
    _, reply = await stores.append(conversation)
    await stores.conversations.delete(stores.scope, conversation.id)
    await keep(stores, reply, stores.grown(1, ["a"]), stores.grown(2, [], shown=1))
    assert not await stores.settle(finished(reply, "ab"), stores.grown(2, ["b"], shown=1))
    assert await kept(stores, reply) == ()
    assert await last_sign(stores, reply) is None


async def test_a_namesake_of_another_tenant_keeps_its_own(stores: Stores) -> None:
    conversation = await stores.begin()
    namesake = await stores.begin(id=conversation.id, tenant=f"{stores.tenant}-other")
    _, reply = await stores.append(conversation)
    await stores.append(namesake)
    await stores.conversations.checkpoint(namesake.tenant, reply.id, stores.grown(1, ["a"]))
    await stores.conversations.delete(stores.scope, conversation.id)
    assert await stores.conversations.checkpoints(namesake.tenant, reply.id) != ()


async def test_what_never_began_has_grown_by_nothing(stores: Stores) -> None:
    for sequence in (1, 2):
        missing = MessageId(ConversationId(1 << 32), sequence)
        assert await stores.conversations.checkpoints(stores.tenant, missing) == ()


async def test_long_pieces_are_kept_whole(stores: Stores, reply: Message) -> None:
    grown = stores.grown(1, ["ሰ" * 100_000])
    await keep(stores, reply, grown, replace(grown, number=2, shown=1))
    assert await kept(stores, reply) == (grown, replace(grown, number=2, shown=1))
