"""What a `CompletionStore` promises."""

from dataclasses import replace
from typing import Any

import pytest

from parley.domain.completions import StoredCompletion
from parley.domain.conversations import (
    DEFAULT_USER,
    FinishReason,
    Message,
    Role,
    Scope,
    Status,
    Usage,
)
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import MessageId
from parley.domain.tools import ToolCall
from parley.domain.turns import Image, PromptMessage
from tests.support.stores import Stores, completion_id

pytestmark = pytest.mark.anyio


def new(stores: Stores, text: str = "Hi!", **fields: Any) -> StoredCompletion:
    """A completion that isn't kept yet, a second younger than the one before."""
    stores.clock.advance(1)
    reply = Message(
        id=completion_id(),
        role=Role.ASSISTANT,
        text=text,
        status=Status.COMPLETED,
        created_at=stores.clock.now(),
        model="a-model",
        finish_reason=FinishReason.STOP,
        usage=Usage(3, 2),
    )
    values: dict[str, Any] = {
        "id": reply.id,
        "tenant": stores.tenant,
        "user": DEFAULT_USER,
        "created_at": reply.created_at,
        "model": "a-model",
        "messages": (PromptMessage(Role.USER, "Hello?"),),
        "replies": (reply,),
    }
    return StoredCompletion(**(values | fields))


async def keep(stores: Stores, text: str = "Hi!", **fields: Any) -> StoredCompletion:
    completion = new(stores, text, **fields)
    await stores.completions.keep(completion)
    return completion


async def listed(stores: Stores, scope: Scope | None = None, **how: Any) -> list[MessageId]:
    defaults: dict[str, Any] = {
        "limit": 10,
        "after": None,
        "newest_first": False,
        "model": None,
        "metadata": {},
    }
    page = await stores.completions.list(scope or stores.scope, **(defaults | how))
    return [each.id for each in page.items]


@pytest.mark.parametrize("text", ["", "Hi! ሰላም", "x" * 1_000_000], ids=["empty", "short", "1 MB"])
async def test_a_completion_is_read_as_it_was_kept(stores: Stores, text: str) -> None:
    plain = new(stores, text)
    call = ToolCall("a", "f", '{"x": 1}')
    completion = replace(
        plain,
        messages=(
            PromptMessage(Role.SYSTEM, "Be brief."),
            PromptMessage(
                Role.USER, "What is this?", ("What is this?", Image("https://example.com/a", "low"))
            ),
            PromptMessage(Role.ASSISTANT, "", tool_calls=(call,)),
            PromptMessage(Role.TOOL, "5\x1b", tool_call_id="a"),
        ),
        replies=(
            *plain.replies,
            replace(
                plain.replies[0],
                id=completion_id(),
                finish_reason=FinishReason.TOOL_CALLS,
                usage=Usage(3, 2, 1, 1),
                tool_calls=(call,),
                reasoning="Hm.",
            ),
        ),
        metadata={"topic": "weather", "": "ሰ"},
    )
    await stores.completions.keep(completion)
    assert await stores.completions.get(stores.scope, completion.id) == completion


async def test_a_taken_id_is_refused(stores: Stores) -> None:
    completion = await keep(stores)
    with pytest.raises(Conflict):
        await stores.completions.keep(replace(completion, model="another"))
    assert await stores.completions.get(stores.scope, completion.id) == completion


async def test_completions_are_listed_in_order_of_creation(stores: Stores) -> None:
    ids = [(await keep(stores)).id for _ in range(3)]
    assert await listed(stores) == ids
    assert await listed(stores, newest_first=True) == ids[::-1]


async def test_a_list_goes_on_behind_any_of_it(stores: Stores) -> None:
    ids = [(await keep(stores)).id for _ in range(4)]
    assert await listed(stores, after=ids[1]) == ids[2:]
    assert await listed(stores, after=ids[1], newest_first=True) == ids[:1]
    assert await listed(stores, after=ids[3]) == []


async def test_a_page_says_whether_the_list_goes_on(stores: Stores) -> None:
    for _ in range(3):
        await keep(stores, metadata={"a": "1"})
    for metadata in ({}, {"a": "1"}):
        for limit, goes_on in [(2, True), (3, False), (4, False)]:
            page = await stores.completions.list(
                stores.scope,
                limit=limit,
                after=None,
                newest_first=False,
                model=None,
                metadata=metadata,
            )
            assert len(page.items) == min(limit, 3)
            assert page.has_more is goes_on


async def test_a_list_is_narrowed_by_model_and_metadata(stores: Stores) -> None:
    one = await keep(stores, model="one", metadata={"a": "1", "b": "2"})
    two = await keep(stores, model="two", metadata={"a": "1"})
    assert await listed(stores, model="one") == [one.id]
    assert await listed(stores, metadata={"a": "1"}) == [one.id, two.id]
    assert await listed(stores, metadata={"a": "1", "b": "2"}) == [one.id]
    assert await listed(stores, model="two", metadata={"a": "1"}) == [two.id]
    assert await listed(stores, model="two", metadata={"b": "2"}) == []


async def test_other_metadata_takes_the_place_of_all_there_was(stores: Stores) -> None:
    completion = await keep(stores, user="alice", metadata={"a": "1"})
    labelled = await stores.completions.label(stores.scope, completion.id, {"b": "2"})
    assert labelled == replace(completion, metadata={"b": "2"})
    assert await stores.completions.get(stores.scope, completion.id) == labelled
    for scope in (stores.scope, Scope(stores.tenant, "alice")):
        assert await listed(stores, scope, metadata={"a": "1"}) == []
        assert await listed(stores, scope, metadata={"b": "2"}) == [completion.id]


@pytest.mark.parametrize("text", ["Hi!", "x" * 1_000_000], ids=["short", "1 MB"])
async def test_a_deleted_completion_is_gone(stores: Stores, text: str) -> None:
    other, completion = await keep(stores), await keep(stores, text)
    await stores.completions.delete(stores.scope, completion.id)
    assert await listed(stores) == [other.id]
    for operation in (
        stores.completions.get(stores.scope, completion.id),
        stores.completions.delete(stores.scope, completion.id),
        stores.completions.label(stores.scope, completion.id, {}),
        listed(stores, after=completion.id),
    ):
        with pytest.raises(NotFound, match=r"^No such completion\.$"):
            await operation


async def test_a_user_is_forgotten_some_completions_at_a_time(stores: Stores) -> None:
    theirs = await keep(stores, user="alice2")
    for text in ("Hi!", "x" * 1_000_000, "Bye!"):
        await keep(stores, text, user="alice")
    forget = stores.completions.forget_user
    assert [await forget(stores.tenant, "alice", limit=2) for _ in range(3)] == [2, 1, 0]
    assert await forget(f"{stores.tenant}-other", "alice2", limit=2) == 0
    assert await listed(stores) == [theirs.id]


async def test_what_is_out_of_scope_does_not_exist(stores: Stores) -> None:
    theirs = await keep(stores, user="alice")
    alice, mallory = Scope(stores.tenant, "alice"), Scope(stores.tenant, "mallory")
    other = Scope(stores.tenant + "-other")
    for scope in (stores.scope, alice):
        assert await stores.completions.get(scope, theirs.id) == theirs
        assert await listed(stores, scope) == [theirs.id]
    for scope in (mallory, other):
        assert await listed(stores, scope) == []
        for operation in (
            stores.completions.get(scope, theirs.id),
            stores.completions.delete(scope, theirs.id),
            stores.completions.label(scope, theirs.id, {}),
            listed(stores, scope, after=theirs.id),
        ):
            with pytest.raises(NotFound, match=r"^No such completion\.$"):
                await operation
