"""What a `ConversationStore` promises of conversations."""

import pytest

from parley.domain.conversations import Conversation, Page, Scope
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import NEVER_ISSUED, ConversationId
from tests.support.stores import Stores

pytestmark = pytest.mark.anyio


async def test_a_conversation_is_read_as_it_was_created(stores: Stores) -> None:
    conversation = await stores.begin(
        title="Ein Gespräch",
        system_prompt="Be brief. በአማርኛ መልስ። 🙂",
        model="wesen-chat-v1",
        metadata={"plan": "free", "seats": 3, "ratio": 0.5, "tags": ["a", None, {"b": True}]},
    )
    assert await stores.conversations.get(stores.scope, conversation.id) == conversation


async def test_what_is_left_out_is_read_as_left_out(stores: Stores) -> None:
    conversation = await stores.begin()
    read = await stores.conversations.get(stores.scope, conversation.id)
    assert read == conversation
    assert (read.title, read.system_prompt, read.model) == (None, None, None)


@pytest.mark.parametrize(
    "prompt", ["", "x" * 10_000, "ሰ🍲" * 150_000], ids=["empty", "10 KB", "1 MB"]
)
async def test_a_system_prompt_of_any_length_is_kept_whole(stores: Stores, prompt: str) -> None:
    conversation = await stores.begin(system_prompt=prompt)
    await stores.take_turn(conversation)
    assert (await stores.conversations.get(stores.scope, conversation.id)).system_prompt == prompt
    head, _ = await stores.conversations.get_with_newest(stores.scope, conversation.id, 5)
    assert head.system_prompt == prompt
    page = await stores.conversations.list_conversations(stores.scope, conversation.user, limit=1)
    assert page.items[0].system_prompt == prompt


async def test_a_taken_id_is_refused_and_what_has_it_stays(stores: Stores) -> None:
    first = await stores.begin(title="first")
    with pytest.raises(Conflict):
        await stores.begin(id=first.id, title="second", user="somebody-else")
    assert await stores.conversations.get(stores.scope, first.id) == first
    assert await stores.conversations.count_conversations(stores.scope, "somebody-else") == 0


async def test_tenants_may_have_the_same_conversation_id(stores: Stores) -> None:
    mine = await stores.begin(title="mine")
    other = stores.tenant + "-other"
    theirs = await stores.begin(id=mine.id, tenant=other, title="theirs")
    assert await stores.conversations.get(stores.scope, mine.id) == mine
    assert await stores.conversations.get(Scope(other), mine.id) == theirs


# Scope -------------------------------------------------------------------------------------------


def out_of_scope(stores: Stores, mine: Conversation) -> list[tuple[Scope, ConversationId]]:
    return [
        (Scope(stores.tenant + "-other"), mine.id),
        (Scope(stores.tenant, "mallory"), mine.id),
        (stores.scope, ConversationId(1 << 32)),
        (stores.scope, ConversationId(NEVER_ISSUED)),
    ]


async def test_what_is_out_of_scope_reads_exactly_like_what_does_not_exist(
    stores: Stores,
) -> None:
    mine = await stores.begin(user="alice")
    await stores.take_turn(mine)
    store = stores.conversations
    for scope, conversation in out_of_scope(stores, mine):
        for attempt in (
            store.get(scope, conversation),
            store.get_with_newest(scope, conversation, 10),
            store.delete(scope, conversation),
            store.list_conversations(scope, "mallory", limit=1, after=conversation),
        ):
            with pytest.raises(NotFound) as refused:
                await attempt
            assert type(refused.value) is NotFound
            assert refused.value.message == "No such conversation."
            assert refused.value.param is None
    head, messages = await store.get_with_newest(Scope(stores.tenant, "alice"), mine.id, 10)
    assert len(messages) == head.message_count == 2


async def test_a_user_scope_sees_no_other_users_list(stores: Stores) -> None:
    await stores.begin(user="alice")
    mallory = Scope(stores.tenant, "mallory")
    store = stores.conversations
    assert await store.list_conversations(mallory, "alice", limit=9) == Page((), has_more=False)
    assert await store.count_conversations(mallory, "alice") == 0


@pytest.mark.parametrize(
    ("tenant", "user", "strange_tenant", "strange_user"),
    [
        ("a", "U#b", "a#U", "b"),
        ("a", "b#", "a", "b"),
        ("a", "b%23", "a", "b#"),
        ("a", "", "a", "default"),
        ("a", "u" * 5000, "a", "u" * 5001),
        ("a", "ሰ🍲", "a", "ሰ"),
    ],
)
async def test_names_of_any_shape_never_meet(
    stores: Stores, tenant: str, user: str, strange_tenant: str, strange_user: str
) -> None:
    tenant, strange_tenant = (f"{stores.tenant}{each}" for each in (tenant, strange_tenant))
    mine = await stores.begin(tenant=tenant, user=user)
    page = await stores.conversations.list_conversations(Scope(tenant), user, limit=9)
    assert page.items == (mine,)
    strange = await stores.conversations.list_conversations(
        Scope(strange_tenant), strange_user, limit=9
    )
    assert strange.items == ()


# Lists -------------------------------------------------------------------------------------------


async def begin_several(stores: Stores, count: int) -> list[Conversation]:
    conversations = []
    for number in range(count):
        conversations.append(await stores.begin(user="alice", title=f"number {number}"))
        stores.clock.advance(0.000_001 if number % 2 else 86_400)
    return conversations


async def test_a_conversation_is_listed_as_soon_as_it_is_created(stores: Stores) -> None:
    conversation = await stores.begin(title="new", system_prompt="Be brief.")
    page = await stores.conversations.list_conversations(stores.scope, conversation.user, limit=10)
    assert page == Page((conversation,), has_more=False)
    assert await stores.conversations.count_conversations(stores.scope, conversation.user) == 1


async def test_lists_show_conversations_as_the_latest_turn_left_them(stores: Stores) -> None:
    conversation = await stores.begin()
    stores.clock.advance(5)
    await stores.append(conversation)
    page = await stores.conversations.list_conversations(stores.scope, conversation.user, limit=10)
    assert page.items[0].message_count == 2
    assert page.items[0].updated_at == stores.clock.now()


async def test_lists_are_in_order_of_creation_either_way(stores: Stores) -> None:
    conversations = await begin_several(stores, 5)
    conversations += [await stores.begin(user="alice"), await stores.begin(user="alice")]
    store = stores.conversations
    newest = await store.list_conversations(stores.scope, "alice", limit=10)
    oldest = await store.list_conversations(stores.scope, "alice", limit=10, newest_first=False)
    assert list(oldest.items) == conversations
    assert list(newest.items) == conversations[::-1]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_by_offset_and_by_cursor_tile_the_list(
    stores: Stores, *, newest_first: bool
) -> None:
    conversations = await begin_several(stores, 7)
    expected = conversations[::-1] if newest_first else conversations
    store = stores.conversations
    for limit in (1, 3, 7, 10):
        by_offset: list[Conversation] = []
        by_cursor: list[Conversation] = []
        while True:
            offset_page = await store.list_conversations(
                stores.scope,
                "alice",
                limit=limit,
                offset=len(by_offset),
                newest_first=newest_first,
            )
            cursor_page = await store.list_conversations(
                stores.scope,
                "alice",
                limit=limit,
                after=by_cursor[-1].id if by_cursor else None,
                newest_first=newest_first,
            )
            assert offset_page == cursor_page
            by_offset += offset_page.items
            by_cursor += cursor_page.items
            assert offset_page.has_more is (len(by_offset) < len(expected))
            if not offset_page.has_more:
                break
        assert by_offset == expected


async def test_an_offset_counts_from_behind_the_cursor(stores: Stores) -> None:
    conversations = await begin_several(stores, 5)
    page = await stores.conversations.list_conversations(
        stores.scope, "alice", limit=1, after=conversations[3].id, offset=1
    )
    assert page == Page((conversations[1],), has_more=True)


@pytest.mark.parametrize("offset", [3, 1_000_000, 10**15])
async def test_an_offset_beyond_the_end_is_an_empty_page(stores: Stores, offset: int) -> None:
    await begin_several(stores, 3)
    page = await stores.conversations.list_conversations(
        stores.scope, "alice", limit=50, offset=offset
    )
    assert page == Page((), has_more=False)


async def test_a_cursor_that_is_another_users_or_deleted_is_not_found(stores: Stores) -> None:
    theirs = await stores.begin(user="bob")
    gone = await stores.begin(user="alice")
    await stores.conversations.delete(stores.scope, gone.id)
    for cursor in (theirs.id, gone.id):
        with pytest.raises(NotFound, match=r"No such conversation\."):
            await stores.conversations.list_conversations(
                stores.scope, "alice", limit=5, after=cursor
            )


async def test_long_lists_are_read_to_their_end(stores: Stores) -> None:
    conversations = [await stores.begin(user="alice") for _ in range(130)]
    page = await stores.conversations.list_conversations(
        stores.scope, "alice", limit=120, newest_first=False
    )
    assert list(page.items) == conversations[:120]
    assert page.has_more
    assert await stores.conversations.count_conversations(stores.scope, "alice") == 130
