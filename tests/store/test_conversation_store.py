"""What a `ConversationStore` promises of conversations."""

from dataclasses import replace
from typing import Any

import pytest

from parley.domain.conversations import Conversation, Page, Parameters, Scope
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import NEVER_ISSUED, ConversationId
from tests.support.stores import Stores

pytestmark = pytest.mark.anyio

JSON_OBJECTS = [
    pytest.param({"b": 1, "a": [None, True, {"c": {"d": []}}], "": ""}, id="nested"),
    pytest.param({"third": 1 / 3, "tiny": 5e-324, "large": 2**70, "whole": 1.0}, id="numbers"),
    pytest.param({"ስም": 'ሰላም "\\" 🍲\n\x00\u2028'}, id="characters"),
    pytest.param({str(number): "x" * 50 for number in range(270)}, id="16 KB"),
    pytest.param({"text": "ሰ🍲" * 150_000}, id="1 MB"),
]


async def test_a_conversation_is_read_as_it_was_created(stores: Stores) -> None:
    conversation = await stores.begin(
        title="Ein Gespräch",
        system_prompt="Be brief. በአማርኛ መልስ። 🙂",
        model="wesen-chat-v1",
        parameters=Parameters(temperature=0.5, top_p=1, max_tokens=9, seed=0, stop=("a", "ለ\n")),
        metadata={"plan": "free", "seats": 3, "ratio": 0.5, "tags": ["a", None, {"b": True}]},
        inputs={"name": "Abebe", "age": 41},
        alias="6a8c0a9e-0f3b-4d49-8f55-2b1b5f2d8f10",
    )
    assert await stores.conversations.get(stores.scope, conversation.id) == conversation


async def test_what_is_left_out_is_read_as_left_out(stores: Stores) -> None:
    conversation = await stores.begin()
    read = await stores.conversations.get(stores.scope, conversation.id)
    assert read == conversation
    assert (read.title, read.system_prompt, read.model, read.alias) == (None, None, None, None)
    assert read.parameters == Parameters()
    assert read.metadata == read.inputs == {}


@pytest.mark.parametrize(
    "parameters",
    [Parameters(temperature=0.0), Parameters(seed=0, max_tokens=1), Parameters(stop=("",))],
)
async def test_what_parameters_leave_open_stays_open(
    stores: Stores, parameters: Parameters
) -> None:
    conversation = await stores.begin(parameters=parameters)
    read = await stores.conversations.get(stores.scope, conversation.id)
    assert read.parameters == parameters


@pytest.mark.parametrize("given", JSON_OBJECTS)
async def test_metadata_and_inputs_are_any_json_objects(
    stores: Stores, given: dict[str, Any]
) -> None:
    store = stores.conversations
    for fields in ({"metadata": given}, {"inputs": given}):
        conversation = await stores.begin(user=str(fields.keys()), **fields)
        _, reply = await stores.take_turn(conversation)
        read, _ = await store.get_with_newest(stores.scope, conversation.id, 5)
        assert {name: getattr(read, name) for name in fields} == fields
        assert list(read.metadata) == list(fields.get("metadata", {}))
        assert await store.get(stores.scope, conversation.id) == read
        assert (await store.get_message(stores.scope, reply.id))[0] == read
        page = await store.list_conversations(stores.scope, conversation.user, limit=1)
        assert page.items == (read,)


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


# Titles, aliases and users -----------------------------------------------------------------------


async def test_a_conversation_gets_another_title_and_stays_as_it_is(stores: Stores) -> None:
    conversation = await stores.begin(title="old", system_prompt="Be brief.", alias="foreign")
    await stores.take_turn(conversation)
    before = await stores.conversations.get(stores.scope, conversation.id)
    for title in ("Ein Gespräch", ""):
        await stores.conversations.rename(stores.scope, conversation.id, title)
        read = await stores.conversations.get(stores.scope, conversation.id)
        assert read == replace(before, title=title)


async def test_a_conversation_is_found_by_its_alias(stores: Stores) -> None:
    await stores.begin()
    first = await stores.begin(alias="a#1", user="alice")
    second = await stores.begin(alias="a%231", user="alice")
    long = await stores.begin(alias="x" * 2_000)
    for scope in (stores.scope, Scope(stores.tenant, "alice")):
        assert await stores.conversations.find_alias(scope, "a#1") == first.id
        assert await stores.conversations.find_alias(scope, "a%231") == second.id
    assert await stores.conversations.find_alias(stores.scope, "x" * 2_000) == long.id


async def test_an_alias_out_of_scope_leads_nowhere(stores: Stores) -> None:
    await stores.begin(alias="foreign", user="alice")
    for scope, alias in [
        (Scope(stores.tenant, "mallory"), "foreign"),
        (Scope(stores.tenant + "-other"), "foreign"),
        (stores.scope, "unknown"),
        (stores.scope, ""),
    ]:
        assert await stores.conversations.find_alias(scope, alias) is None


async def test_a_taken_alias_is_refused_and_nothing_is_kept(stores: Stores) -> None:
    first = await stores.begin(alias="foreign", user="alice")
    refused = stores.new(alias="foreign", user="bob", system_prompt="Be brief.")
    with pytest.raises(Conflict, match=r"^This alias is taken\.$"):
        await stores.conversations.create(refused)
    with pytest.raises(NotFound):
        await stores.conversations.get(stores.scope, refused.id)
    assert await stores.conversations.count_conversations(stores.scope, "bob") == 0
    assert await stores.conversations.find_alias(stores.scope, "foreign") == first.id
    with pytest.raises(Conflict, match=r"^This conversation id is taken\.$"):
        await stores.begin(id=first.id, alias="another")
    assert await stores.conversations.find_alias(stores.scope, "another") is None


async def test_tenants_may_have_the_same_alias(stores: Stores) -> None:
    mine = await stores.begin(alias="foreign")
    other = stores.tenant + "-other"
    theirs = await stores.begin(tenant=other, alias="foreign")
    assert await stores.conversations.find_alias(stores.scope, "foreign") == mine.id
    assert await stores.conversations.find_alias(Scope(other), "foreign") == theirs.id


async def test_a_user_is_new_once(stores: Stores) -> None:
    for tenant, user in [
        (stores.tenant, "alice"),
        (stores.tenant, "alice#"),
        (stores.tenant, ""),
        (stores.tenant + "-other", "alice"),
    ]:
        assert await stores.conversations.see_user(tenant, user)
        assert not await stores.conversations.see_user(tenant, user)
        page = await stores.conversations.list_conversations(Scope(tenant), user, limit=5)
        assert page == Page((), has_more=False)
        assert await stores.conversations.count_conversations(Scope(tenant), user) == 0


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
            store.rename(scope, conversation, "stolen"),
            store.list_conversations(scope, "mallory", limit=1, after=conversation),
        ):
            with pytest.raises(NotFound) as refused:
                await attempt
            assert type(refused.value) is NotFound
            assert refused.value.message == "No such conversation."
            assert refused.value.param is None
    head, messages = await store.get_with_newest(Scope(stores.tenant, "alice"), mine.id, 10)
    assert len(messages) == head.message_count == 2
    assert head.title is None


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
