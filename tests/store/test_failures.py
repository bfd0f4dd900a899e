"""What the stores on DynamoDB do when the service refuses, throttles, or never answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from parley.adapters.aws import CONFIG
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import PATIENCE_SECONDS, Database, Tables
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.dynamodb.items import encode
from parley.adapters.dynamodb.requests import DynamoRequests
from parley.domain.errors import (
    Conflict,
    NotFound,
    ParleyError,
    StoreUnavailable,
    TurnInProgress,
)
from parley.domain.ids import MessageId
from parley.domain.once import Answer, Done, Repeated
from tests.support.clock import ManualClock
from tests.support.stores import Stores, finished

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
    pending = await stores.begin_completion()
    answer = refusal("ConditionalCheckFailed", "TransactionConflict")
    answer[1]["CancellationReasons"][0]["Item"] = encode({"status": "completed"})
    handler, calls = times(1, answer)
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        assert not await stores.settle(finished(pending, "Hi!"))
    assert len(calls) == 1


async def test_a_turn_whose_number_was_taken_while_the_head_was_being_written_is_appended_behind(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin()
    codes = ("TransactionConflict", "ConditionalCheckFailed", "None")
    handler, calls = times(2, refusal(*codes))
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        await stores.append(conversation)
    assert len(calls) == 3


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


def tear(hook: Hook, head: int | None, seen: Sequence[int]) -> AbstractContextManager[None]:
    """Let the next query see a head of so many messages, and of the messages only these."""
    queries: list[None] = []

    def tear(parsed: dict[str, Any], **_: Any) -> None:
        queries.append(None)
        if len(queries) > 1:
            return
        for item in parsed["Items"]:
            if item["sk"]["S"] == "~head" and head is not None:
                item["message_count"] = {"N": str(head)}
        parsed["Items"] = [
            item
            for item in parsed["Items"]
            if (number := keys.sequence(item["sk"]["S"])) is None or number in seen
        ]

    return hook("after-call.dynamodb.Query", tear)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 20])
@pytest.mark.parametrize("prompt", [None, "Be brief."])
@pytest.mark.parametrize(
    ("head", "seen", "count"),
    [
        pytest.param(8, range(1, 11), 10, id="the head before a turn, its messages after"),
        pytest.param(6, range(1, 11), 10, id="the head before two turns"),
        pytest.param(10, range(1, 9), 8, id="the head after a turn, its messages before"),
        pytest.param(10, range(1, 7), 6, id="the head after two turns"),
        pytest.param(8, range(1, 10), 8, id="the question alone, not the reply"),
        pytest.param(10, range(1, 10), 8, id="the same, with the head after"),
        pytest.param(8, [*range(1, 9), 10], 8, id="the reply alone, not the question"),
        pytest.param(10, [*range(1, 9), 10], 8, id="the same again, with the head after"),
        pytest.param(6, [1, 2, 3, 4, 5, 6, 7, 9, 10], 6, id="half of one turn, and the next"),
        pytest.param(6, [1, 2, 3, 4, 5, 6, 8, 10], 6, id="two replies without their questions"),
        pytest.param(8, range(1, 9), 8, id="nothing of a turn"),
    ],
)
async def test_a_query_that_saw_half_a_turn_reads_as_of_the_whole_turns_it_saw(
    stores: Stores,
    hook: Hook,
    *,
    limit: int,
    prompt: str | None,
    head: int,
    seen: Sequence[int],
    count: int,
) -> None:
    conversation = await stores.begin(system_prompt=prompt)
    for _ in range(5):
        await stores.append(conversation)
    with tear(hook, head, seen):
        read, newest = await stores.conversations.get_with_newest(
            stores.scope, conversation.id, limit
        )
    # Where the gaps are outside the window, a turn of which something was seen counts as whole.
    if limit < 5:
        assert read.message_count in range(min(head, count), 11, 2)
        count = read.message_count
    assert read.message_count == count
    numbers = [message.id.sequence for message in newest]
    assert numbers == list(range(max(count - limit, 0) + 1, count + 1))
    _, reply = await stores.append(read)
    assert reply.id.sequence == 12


async def test_a_query_that_saw_the_first_turn_only_in_the_head_reads_an_empty_conversation(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin()
    await stores.append(conversation)
    with tear(hook, 2, []):
        read, newest = await stores.conversations.get_with_newest(stores.scope, conversation.id, 20)
    assert (read.message_count, newest) == (0, ())


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param([10], id="the newest"),
        pytest.param([9, 10], id="the newest turn"),
        pytest.param([1, 2], id="the oldest turn"),
        pytest.param([4], id="one in the middle"),
        pytest.param([*range(1, 11)], id="all"),
    ],
)
async def test_a_query_that_misses_messages_of_a_deletion_finds_nothing(
    stores: Stores, hook: Hook, dynamodb: "DynamoDBClient", tables: Tables, gone: list[int]
) -> None:
    """The query saw the head before the deletion, and then not all of the messages."""
    conversation = await stores.begin()
    for _ in range(5):
        await stores.append(conversation)
    heads: list[Any] = []

    def keep_head(parsed: dict[str, Any], **_: Any) -> None:
        heads.append([item for item in parsed["Items"] if item["sk"]["S"] == "~head"])
        if len(heads) == 2:
            assert "deleted_at" in heads[1][0]
            parsed["Items"] = heads[0] + [
                item for item in parsed["Items"] if item["sk"]["S"] != "~head"
            ]

    with hook("after-call.dynamodb.Query", keep_head):
        await stores.conversations.get_with_newest(stores.scope, conversation.id, 20)
        mark = {"pk": {"S": f"T#{stores.tenant}#C#{conversation.id.number}"}}
        dynamodb.update_item(
            TableName=tables.conversations,
            Key=mark | {"sk": {"S": "~head"}},
            UpdateExpression="SET deleted_at = :now",
            ExpressionAttributeValues={":now": {"S": "now"}},
        )
        for number in gone:
            key = keys.message(stores.tenant, MessageId(conversation.id, number))
            dynamodb.delete_item(TableName=tables.conversations, Key=encode(key._asdict()))
        with pytest.raises(NotFound, match=r"^No such conversation\.$"):
            await stores.conversations.get_with_newest(stores.scope, conversation.id, 20)


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
    reply = stores.completion()
    with hook("before-send.dynamodb.PutItem", losing()):
        await stores.conversations.begin_completions(stores.scope, [reply])
    assert await stores.conversations.get_completion(stores.scope, reply.id) == reply


async def test_a_request_whose_answer_is_lost_is_not_repeated_by_that(
    stores: Stores, hook: Hook, losing: Callable[[], Handler]
) -> None:
    """What the first attempt has written isn't taken for an earlier request by the second."""
    conversation = stores.new()
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        await stores.conversations.create(conversation, once=stores.once("create"))
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        _, reply = await stores.append(conversation, once=stores.once("append"))
    completion = stores.completion()
    with hook("before-send.dynamodb.TransactWriteItems", losing()):
        await stores.conversations.begin_completions(
            stores.scope, [completion], once=stores.once("complete")
        )
    for name, done in [
        ("create", Done(fingerprint="asked", conversation=conversation.id)),
        (
            "append",
            Done(fingerprint="asked", conversation=conversation.id, turns=(reply.id,)),
        ),
        ("complete", Done(fingerprint="asked", turns=(completion.id,))),
    ]:
        assert await stores.requests.find(stores.once(name)) == done
    head = await stores.conversations.get(stores.scope, conversation.id)
    assert head.message_count == 2


@pytest.mark.parametrize("began_a_conversation", [False, True])
async def test_whose_hold_of_a_request_is_lost_holds_it(
    stores: Stores, hook: Hook, losing: Callable[[], Handler], *, began_a_conversation: bool
) -> None:
    once, until = stores.once(), stores.clock.now() + timedelta(seconds=30)
    operation = "PutItem"
    if began_a_conversation:
        await stores.conversations.create(stores.new(), once=once)
        operation = "UpdateItem"
    with hook(f"before-send.dynamodb.{operation}", losing()):
        assert await stores.requests.hold(once, until=until) is None
    assert await stores.requests.hold(once, until=until) is not None


@pytest.mark.parametrize("body", ["short", "x" * 400_000], ids=["short", "long"])
async def test_an_answer_that_is_kept_twice_is_kept(
    stores: Stores, hook: Hook, losing: Callable[[], Handler], body: str
) -> None:
    once, answer = stores.once(), Answer(200, "text/plain", body)
    await stores.requests.hold(once, until=stores.clock.now())
    with hook("before-send.dynamodb.UpdateItem", losing()):
        await stores.requests.answered(once, answer)
    known = await stores.requests.find(once)
    assert known is not None
    assert known.answer == answer


async def test_a_hold_that_is_released_twice_is_released(
    stores: Stores, hook: Hook, losing: Callable[[], Handler]
) -> None:
    await stores.requests.hold(stores.once(), until=stores.clock.now())
    with hook("before-send.dynamodb.DeleteItem", losing()):
        await stores.requests.release(stores.once())
    assert await stores.requests.find(stores.once()) is None


async def test_a_repetition_that_collides_is_recognised(stores: Stores, hook: Hook) -> None:
    conversation, once = await stores.begin(), stores.once()
    await stores.append(conversation, once=once)
    handler, calls = times(3, refusal("None", "None", "None", "TransactionConflict"))
    with hook("before-call.dynamodb.TransactWriteItems", handler), pytest.raises(Repeated):
        await stores.append(conversation, once=once)
    assert len(calls) == 4


async def test_who_wants_to_be_alone_is_refused_for_a_turn_not_for_a_collision(
    stores: Stores, hook: Hook
) -> None:
    conversation = await stores.begin()
    handler, calls = times(3, refusal("TransactionConflict"))
    with hook("before-call.dynamodb.TransactWriteItems", handler):
        _, reply = await stores.append(conversation, alone=True)
    assert (len(calls), reply.id.sequence) == (4, 2)
    handler, calls = times(3, refusal("TransactionConflict"))
    with hook("before-call.dynamodb.TransactWriteItems", handler), pytest.raises(TurnInProgress):
        await stores.append(conversation, alone=True)
    assert len(calls) == 1  # then the head told


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


async def every_refusal(stores: Stores, database: Database, tables: Tables) -> list[ParleyError]:
    conversation = stores.new()
    reply, pending = stores.completion(), MessageId(conversation.id, 2)
    once, now = stores.once(), stores.clock.now()
    requests = DynamoRequests(database, tables, stores.clock)
    store = DynamoConversations(database, tables, stores.clock)
    refusals = []
    for attempt in (
        store.create(conversation),
        store.get(stores.scope, conversation.id),
        store.get_with_newest(stores.scope, conversation.id, 5),
        store.list_conversations(stores.scope, "alice", limit=5),
        store.count_conversations(stores.scope, "alice"),
        store.delete(stores.scope, conversation.id),
        store.messages(conversation, first=1, last=5),
        store.append_turn(conversation, text="Hello?", model="m", at=now),
        store.append_turn(conversation, text="Hello?", model="m", at=now, once=once),
        store.request_stop(stores.scope, reply.id),
        store.stop_requested(stores.tenant, pending),
        store.checkpoint(stores.tenant, pending, stores.grown(1, ["a"])),
        store.checkpoints(stores.tenant, pending),
        store.last_sign(stores.tenant, pending),
        store.settle(reply, stores.record(reply)),
        store.begin_completions(stores.scope, [reply]),
        store.begin_completions(stores.scope, [reply], once=once),
        store.get_completion(stores.scope, reply.id),
        requests.find(once),
        requests.hold(once, until=now),
        requests.answered(once, Answer(200, "text/plain", "Hi!")),
        requests.release(once),
    ):
        with pytest.raises(ParleyError) as refused:
            await attempt
        refusals.append(refused.value)
    return refusals


async def test_an_unreachable_service_is_unavailable(
    stores: Stores, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = client("http://127.0.0.1:9")  # the discard port, where nothing listens
    refusals = await every_refusal(stores, Database(nobody, stores.clock), tables)
    assert {type(refused) for refused in refusals} == {StoreUnavailable}
    assert len({refused.message for refused in refusals}) == 1
    assert "AWS couldn't be asked: EndpointConnectionError" in caplog.messages
    nobody.close()


async def test_missing_tables_are_unavailable(
    stores: Stores, dynamodb: "DynamoDBClient", caplog: pytest.LogCaptureFixture
) -> None:
    missing = Tables("no-table", "no-table", "no-table", "no-table")
    refusals = await every_refusal(stores, Database(dynamodb, stores.clock), missing)
    assert {type(refused) for refused in refusals} == {StoreUnavailable}
    assert "AWS refused GetItem: ResourceNotFoundException" in caplog.messages


async def test_a_request_the_service_calls_wrong_is_an_internal_error(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ParleyError) as refused:
        await stores.begin(title="x" * 500_000)
    assert refused.value.code == "internal_error"
    assert not isinstance(refused.value, StoreUnavailable | Conflict)
    assert caplog.messages == ["AWS refused TransactWriteItems: ValidationException"]
