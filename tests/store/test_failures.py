"""What the stores on DynamoDB do when the service refuses, throttles, or never answers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from parley.adapters.aws import CONFIG
from parley.adapters.dynamodb.client import PATIENCE_SECONDS, Database, Tables
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import Conflict, NotFound, ParleyError, StoreUnavailable
from tests.support.clock import ManualClock
from tests.support.stores import Stores, completion_id, finished

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

Handler = Callable[..., Any]
Hook = Callable[[str, Handler], AbstractContextManager[None]]


@pytest.fixture
def hook(dynamodb: "DynamoDBClient") -> Hook:
    """Put a handler into the client's way, for as long as a block lasts."""

    @contextmanager
    def hooked(event: str, handler: Handler) -> Iterator[None]:
        dynamodb.meta.events.register_first(event, handler)
        try:
            yield
        finally:
            dynamodb.meta.events.unregister(event, handler)

    return hooked


@pytest.fixture
def stores(ministack_stores: Stores) -> Stores:
    return ministack_stores


def refusal(*codes: str) -> tuple[Any, dict[str, Any]]:
    """How the service answers a transaction that it cancels."""
    response = AWSResponse("", 400, {}, None)  # type: ignore[arg-type]
    return response, {
        "Error": {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"},
        "CancellationReasons": [{"Code": code} for code in codes],
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


def times(count: int, answer: Any) -> tuple[Handler, list[None]]:
    """A handler that gives an answer for the first calls, and the list of all calls."""
    calls: list[None] = []

    def handler(**_: Any) -> Any:
        calls.append(None)
        return answer if len(calls) <= count else None

    return handler, calls


async def test_a_turn_needs_no_other_permissions_when_it_collides(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin()
    operations: set[str] = set()
    refuse, _ = times(4, refusal("TransactionConflict"))

    def note(model: Any, **_: Any) -> None:
        operations.add(model.name)

    with (
        hook("before-call.dynamodb", note),
        hook("before-call.dynamodb.TransactWriteItems", refuse),
    ):
        await stores.append(conversation)
    assert operations == {"TransactWriteItems", "Query"}


@pytest.mark.parametrize("codes", [("TransactionConflict", "None"), ("ThrottlingError",)])
async def test_a_contended_transaction_is_tried_again(
    stores: Stores, hook: Hook, codes: tuple[str, ...]
) -> None:
    conversation = await stores.begin()
    handler, calls = times(4, refusal(*codes))
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        _, pending = await stores.append(conversation)
    assert len(calls) == 5
    handler, calls = times(4, refusal(*codes))
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        assert await stores.settle(finished(pending, "Hi!"))
    assert len(calls) == 5
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 9)
    assert (head.message_count, newest[1].text) == (2, "Hi!")


async def test_a_condition_that_fails_beside_a_conflict_is_what_counts(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin()
    _, pending = await stores.append(conversation)
    handler, calls = times(1, refusal("ConditionalCheckFailed", "TransactionConflict"))
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        assert not await stores.settle(finished(pending, "Hi!"))
    assert len(calls) == 1


class Impatient(ManualClock):
    """A clock of which every look takes a quarter of all patience."""

    def monotonic(self) -> float:
        self.advance(PATIENCE_SECONDS / 4)
        return super().monotonic()


async def test_endless_contention_ends_as_unavailable_and_writes_nothing(
    stores: Stores, hook: Hook, dynamodb: "DynamoDBClient", tables: Tables
) -> None:
    conversation = await stores.begin()
    database = Database(dynamodb, Impatient())
    impatient = DynamoConversations(database, tables, stores.clock)
    handler, calls = times(1_000, refusal("TransactionConflict"))
    with hook("before-call.dynamodb.TransactWriteItems", handler), pytest.raises(StoreUnavailable):
        await impatient.append_turn(conversation, text="Hello?", model="m", at=stores.clock.now())
    assert 1 < len(calls) < 10
    assert (await stores.conversations.get(stores.scope, conversation.id)).message_count == 0


# Batches -----------------------------------------------------------------------------------------


async def test_what_a_batch_leaves_undone_is_done_next(stores: Stores, hook: Hook) -> None:
    conversation = await stores.begin(system_prompt="Be brief.")
    for _ in range(20):
        await stores.append(conversation)
    left: list[int] = []

    def remember_size(params: dict[str, Any], **_: Any) -> None:
        (requests,) = params["RequestItems"].values()
        if not left:
            left.append(len(requests))

    def report_as_left(parsed: dict[str, Any], **_: Any) -> None:
        if len(left) == 1:
            left.append(0)
            keys = {"pk": {"S": "T#nobody"}, "sk": {"S": "nothing"}}
            parsed["UnprocessedItems"] = {"ConversationsTable": [{"DeleteRequest": {"Key": keys}}]}

    handler, calls = times(0, None)
    with (
        hook("before-parameter-build.dynamodb.BatchWriteItem", remember_size),
        hook("after-call.dynamodb.BatchWriteItem", report_as_left),
        hook("before-call.dynamodb.BatchWriteItem", handler),
    ):
        await stores.conversations.delete(stores.scope, conversation.id)
    assert len(calls) == 3  # 41 items in batches of 25, and what was left


async def test_heads_that_a_batch_leaves_unread_are_read_next(stores: Stores, hook: Hook) -> None:
    conversations = [await stores.begin() for _ in range(5)]
    requests: list[dict[str, Any]] = []

    def remember(params: dict[str, Any], **_: Any) -> None:
        requests.append(params["RequestItems"])

    def leave_two(parsed: dict[str, Any], **_: Any) -> None:
        if len(requests) == 1:
            ((table, read),) = parsed["Responses"].items()
            unread = [{"pk": item["pk"], "sk": item["sk"]} for item in read[:2]]
            parsed["Responses"] = {table: read[2:]}
            parsed["UnprocessedKeys"] = {table: {"Keys": unread, "ConsistentRead": True}}

    with (
        hook("before-parameter-build.dynamodb.BatchGetItem", remember),
        hook("after-call.dynamodb.BatchGetItem", leave_two),
    ):
        page = await stores.conversations.list_conversations(
            stores.scope, conversations[0].user, limit=9, newest_first=False
        )
    assert list(page.items) == conversations
    assert len(requests) == 2


# Reads between the halves of a commit ------------------------------------------------------------


@pytest.mark.parametrize("seen", ["head before", "messages before"])
async def test_a_read_that_saw_half_a_turn_is_made_again(
    stores: Stores, hook: Hook, seen: str
) -> None:
    conversation = await stores.begin()
    for _ in range(2):
        await stores.append(conversation)
    reads: list[None] = []

    def tear(parsed: dict[str, Any], **_: Any) -> None:
        reads.append(None)
        if len(reads) > 1:
            return
        head, *messages = parsed["Items"]
        if seen == "head before":
            head["message_count"] = {"N": "2"}
        else:
            parsed["Items"] = [head, *messages[2:]]

    with hook("after-call.dynamodb.Query", tear):
        head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 4)
    assert len(reads) == 2
    assert (head.message_count, len(newest)) == (4, 4)


async def test_a_read_that_meets_a_deletion_finds_nothing_rather_than_less(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin(system_prompt="Be brief.")
    await stores.take_turn(conversation, "x" * 400_000)
    conversation = await stores.conversations.get(stores.scope, conversation.id)

    def without_setup(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Items"] = [item for item in parsed["Items"] if item["sk"]["S"] != "~setup"]

    def without_a_part(parsed: dict[str, Any], **_: Any) -> None:
        for parts in parsed["Responses"].values():
            parts.pop()

    for event, handler in [("Query", without_setup), ("BatchGetItem", without_a_part)]:
        with (
            hook(f"after-call.dynamodb.{event}", handler),
            pytest.raises(NotFound, match=r"^No such conversation\.$"),
        ):
            await stores.conversations.get_with_newest(stores.scope, conversation.id, 9)
    with hook("after-call.dynamodb.BatchGetItem", without_a_part), pytest.raises(NotFound):
        await stores.conversations.messages(conversation, first=1, last=2)


# Lost answers ------------------------------------------------------------------------------------


@pytest.fixture
def losing() -> Iterator[Callable[[], Handler]]:
    """Handlers that carry a request out and lose the answer, once each."""
    session = URLLib3Session()

    def handler() -> Handler:
        lost: list[None] = []

        def lose(request: Any, **_: Any) -> None:
            if not lost:
                lost.append(None)
                session.send(request)
                raise ReadTimeoutError(endpoint_url=request.url)

        return lose

    yield handler
    session.close()


async def test_a_turn_whose_answer_is_lost_is_not_doubled(
    stores: Stores, hook: Hook, losing: Callable[[], Handler]
) -> None:
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        conversation = await stores.begin()
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        user, pending = await stores.append(conversation)
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        assert await stores.settle(finished(pending, "Hi!"))
    head, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 9)
    assert head.message_count == 2
    assert newest == (user, finished(pending, "Hi!"))
    assert stores.settled(stores.tenant) == [pending.id.number]


async def test_a_completion_whose_answer_is_lost_is_no_conflict(
    stores: Stores, hook: Hook, losing: Callable[[], Handler]
) -> None:
    reply = Message(
        id=completion_id(),
        role=Role.ASSISTANT,
        text="",
        status=Status.PENDING,
        created_at=stores.clock.now(),
    )
    with hook("before-send.dynamodb.PutItem", losing()):
        await stores.conversations.begin_completion(stores.scope, reply)
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


async def test_an_event_whose_answer_is_lost_is_counted_at_least_once(
    stores: Stores, hook: Hook, losing: Callable[[], Handler]
) -> None:
    with hook("before-send.dynamodb.UpdateItem", losing()):
        admitted, left, _ = await stores.counter.admit(stores.tenant, limit=5, window=60)
    assert admitted
    assert left <= 4


# A service that can't be used ------------------------------------------------------------------


def client(endpoint: str) -> "DynamoDBClient":
    config = CONFIG.merge(Config(retries={"total_max_attempts": 1}))
    return boto3.client("dynamodb", endpoint_url=endpoint, config=config)


async def every_refusal(stores: Stores, store: DynamoConversations) -> list[ParleyError]:
    conversation = stores.new()
    reply = Message(
        id=completion_id(),
        role=Role.ASSISTANT,
        text="",
        status=Status.PENDING,
        created_at=stores.clock.now(),
    )
    refusals = []
    for attempt in (
        store.create(conversation),
        store.get(stores.scope, conversation.id),
        store.get_with_newest(stores.scope, conversation.id, 5),
        store.list_conversations(stores.scope, "alice", limit=5),
        store.count_conversations(stores.scope, "alice"),
        store.delete(stores.scope, conversation.id),
        store.messages(conversation, first=1, last=5),
        store.append_turn(conversation, text="Hello?", model="m", at=stores.clock.now()),
        store.settle_turn(reply, stores.record(reply)),
        store.begin_completion(stores.scope, reply),
        store.settle_completion(reply, stores.record(reply)),
        store.get_completion(stores.scope, reply.id),
    ):
        with pytest.raises(ParleyError) as refused:
            await attempt
        refusals.append(refused.value)
    return refusals


async def test_an_unreachable_service_is_unavailable(stores: Stores, tables: Tables) -> None:
    nobody = client("http://127.0.0.1:9")  # the discard port, where nothing listens
    store = DynamoConversations(Database(nobody, stores.clock), tables, stores.clock)
    refusals = await every_refusal(stores, store)
    assert {type(refused) for refused in refusals} == {StoreUnavailable}
    assert len({refused.message for refused in refusals}) == 1
    nobody.close()


async def test_missing_tables_are_unavailable(stores: Stores, dynamodb: "DynamoDBClient") -> None:
    missing = Tables("no-table", "no-table", "no-table", "no-table")
    store = DynamoConversations(Database(dynamodb, stores.clock), missing, stores.clock)
    refusals = await every_refusal(stores, store)
    assert {type(refused) for refused in refusals} == {StoreUnavailable}


async def test_a_request_the_service_calls_wrong_is_an_internal_error(stores: Stores) -> None:
    with pytest.raises(ParleyError) as refused:
        await stores.begin(title="x" * 500_000)
    assert refused.value.code == "internal_error"
    assert not isinstance(refused.value, StoreUnavailable | Conflict)
