"""What is another's can't be told from what is nobody's by what it takes to look for it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from parley.domain.conversations import Rating, Scope
from parley.domain.errors import NotFound
from parley.domain.ids import ConversationId, MessageId
from tests.support.stores import Stores

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

Look = Callable[[Stores, Scope, ConversationId], Awaitable[Any]]

LOOKS: Mapping[str, Look] = {
    "get": lambda stores, scope, it: stores.conversations.get(scope, it),
    "read": lambda stores, scope, it: stores.conversations.get_with_newest(scope, it, 10),
    "message": lambda stores, scope, it: stores.conversations.get_message(scope, MessageId(it, 2)),
    "rename": lambda stores, scope, it: stores.conversations.rename(scope, it, "x"),
    "rate": lambda stores, scope, it: stores.conversations.rate(
        scope, MessageId(it, 2), Rating.LIKE
    ),
    "stop": lambda stores, scope, it: stores.conversations.request_stop(scope, MessageId(it, 2)),
    "delete": lambda stores, scope, it: stores.conversations.delete(scope, it),
    "completion": lambda stores, scope, it: stores.conversations.get_completion(
        scope, MessageId(it, 2)
    ),
}


async def calls(client: "DynamoDBClient", look: Awaitable[Any]) -> list[str]:
    """The operations that a vain look asks of the store."""
    made: list[str] = []

    def note(model: Any, **_: Any) -> None:
        made.append(model.name)

    client.meta.events.register("before-call.dynamodb", note)
    try:
        with pytest.raises(NotFound):
            await look
    finally:
        client.meta.events.unregister("before-call.dynamodb", note)
    return made


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("stranger", ["another tenant", "another user"])
async def test_what_is_anothers_takes_the_calls_of_what_is_nobodys(
    ministack_stores: Stores, dynamodb: "DynamoDBClient", look: str, stranger: str
) -> None:
    stores = ministack_stores
    theirs = await stores.begin(user="alice")
    await stores.conversations.append_turn(theirs, text="?", model="any", at=stores.clock.now())
    tenant = f"not-{stores.tenant}" if stranger == "another tenant" else stores.tenant
    scope = Scope(tenant, "bob")
    nobodys = ConversationId(theirs.id.number ^ 1)
    made = [await calls(dynamodb, LOOKS[look](stores, scope, id_)) for id_ in (theirs.id, nobodys)]
    assert made[0] == made[1] != []


NAMES = ["\u00e9", "e\u0301", "K", "\u212a", "k", "a#b", "a/b", "a", "a\n", " a", "a ", "\u202ea"]
"""Names that look alike, that Unicode or a lower case makes equal, or that hold a separator."""


async def test_users_are_told_apart_by_every_code_point(stores: Stores) -> None:
    begun = {name: await stores.begin(user=name) for name in NAMES}
    for name, conversation in begun.items():
        listed = await stores.conversations.list_conversations(
            Scope(stores.tenant, name), name, limit=10
        )
        assert [each.id for each in listed.items] == [conversation.id]
        for other in set(NAMES) - {name}:
            with pytest.raises(NotFound):
                await stores.conversations.get(Scope(stores.tenant, other), conversation.id)
