"""DynamoDB as the stores use it: plain items, few verbs, domain errors, bounded patience."""

import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.aws import CONFIG, domain_error, error_code
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.items import Item, decode, encode
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.errors import Conflict, StoreUnavailable
from parley.ports import Clock
from parley.telemetry.spans import measure

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")

BATCH_READS = 100
BATCH_WRITES = 25
PARALLEL_BATCHES = 8
LARGEST_PAGE = 10_000
"""No page of a query holds more: it ends at 1 MB, and an item takes about 100 bytes at least."""

PATIENCE_SECONDS = 20.0
"""How long an operation is tried again; API Gateway waits for 29 seconds."""

TRIES_AT_ONCE = 2
LONGEST_PAUSE_SECONDS = 8.0
PAUSE_IN_CALLS = 64
FIRST_PAUSE_SECONDS = 0.025

_CONTENTION = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Nothing was written and trying again helps; botocore doesn't do that by itself."""

_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Tables:
    """The names of the tables."""

    directory: str
    conversations: str
    transient: str
    ledger: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan of a table goes on: in one of the segments it is made in, behind a key."""

    segment: int
    segments: int
    after: Key | None = None


def connect() -> "DynamoDBClient":
    """A client for the region, credentials and endpoint of the environment."""
    return boto3.client("dynamodb", config=CONFIG)


class ConditionFailed(Conflict):
    """A write was refused because of what is stored; none of its transaction happened.

    Attributes:
        failed: whether each write's own condition failed, in their order.
        found: what was stored instead, where a condition failed and there was an item.
    """

    def __init__(self, failed: Sequence[bool], found: Sequence[Item | None]) -> None:
        super().__init__("What is stored has changed in the meantime.")
        self.failed = failed
        self.found = found


class Contended(StoreUnavailable):
    """Others write the same items right now; nothing was changed, and trying again helps."""


class Patience:
    """How long, and with which pauses, one operation is tried again."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._resumed = clock.monotonic()
        self._ends = self._resumed + seconds
        self._tries = 0

    def left(self) -> float:
        """For how many seconds more."""
        return self._ends - self._clock.monotonic()

    def after_collision(self) -> bool:
        """Wait for one's turn among those who change the same item.

        The first tries are at once, for a collision of two is over by then. After that the pauses
        begin long and become shorter. Pauses that grow let newcomers overtake whoever has waited,
        until he gives up; these give way to him. How long is measured in calls, because
        the time that a call takes tells how many others there are.

        Returns:
            Whether there was a pause, so that what the collision told of the item may be outdated.

        Raises:
            StoreUnavailable: it has been tried for long enough.
        """
        took = self._clock.monotonic() - self._resumed
        pauses = self._count() - TRIES_AT_ONCE
        if pauses > 0:
            self._pause(min(took * PAUSE_IN_CALLS, LONGEST_PAUSE_SECONDS) / pauses)
        self._resumed = self._clock.monotonic()
        return pauses > 0

    def after_throttling(self) -> None:
        """Wait, longer each time, until a busy table may have recovered.

        Raises:
            StoreUnavailable: it has been tried for long enough.
        """
        self._pause(min(FIRST_PAUSE_SECONDS * 2 ** self._count(), LONGEST_PAUSE_SECONDS))

    def _count(self) -> int:
        if self._clock.monotonic() >= self._ends:
            raise StoreUnavailable("The store is too busy right now. Please try again.")
        self._tries += 1
        return self._tries

    def _pause(self, longest: float) -> None:
        # Any moment within, so that those who met don't meet again.
        time.sleep(_jitter.uniform(0, longest))


@dataclass(frozen=True, slots=True)
class Write:
    """One write, to be made alone or in a transaction with others."""

    kind: Literal["Put", "Update", "Delete"]
    arguments: Mapping[str, Any]


def put(
    table: str,
    key: Key,
    item: Item,
    *,
    condition: str | None = None,
    values: Mapping[str, str | int] | None = None,
) -> Write:
    """Write an item, in place of one that may be there.

    Args:
        condition: names attributes of the one that is there as `#name` and values as `:name`.
        values: the values by their names without the colon.
    """
    return _write("Put", table, condition, values or {}, Item=encode({**key._asdict(), **item}))


def put_new(table: str, key: Key, item: Item) -> Write:
    """Write an item where there is none."""
    return put(table, key, item, condition="attribute_not_exists(#pk)")


def update(
    table: str,
    key: Key,
    expression: str,
    values: Mapping[str, str | int],
    *,
    condition: str | None = None,
) -> Write:
    """Change an item; where there is none and no condition asks for one, it is made.

    Args:
        expression: names attributes as `#name` and values as `:name`, as `condition` does.
        values: the values by their names without the colon.
    """
    return _write(
        "Update",
        table,
        condition,
        values,
        UpdateExpression=expression,
        Key=encode(key._asdict()),
    )


def delete(
    table: str,
    key: Key,
    *,
    condition: str | None = None,
    values: Mapping[str, str | int] | None = None,
) -> Write:
    """Remove an item, if it is there.

    Args:
        condition: names attributes of it as `#name` and values as `:name`; where there is no item,
            it has no attributes.
        values: the values by their names without the colon.
    """
    return _write("Delete", table, condition, values or {}, Key=encode(key._asdict()))


def assignments(item: Item) -> tuple[str, dict[str, str | int]]:
    """The update expression, and its values, that sets all attributes of `item`."""
    values = {name: value for name, value in item.items() if value is not None}
    return "SET " + ", ".join(f"#{name} = :{name}" for name in values), values


def _write(
    kind: Literal["Put", "Update", "Delete"],
    table: str,
    condition: str | None,
    values: Mapping[str, str | int],
    **arguments: Any,
) -> Write:
    arguments["TableName"] = table
    if condition:
        arguments["ConditionExpression"] = condition
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    expressions = f"{condition or ''} {arguments.get('UpdateExpression', '')}"
    return Write(kind, arguments | _placeholders(expressions, values))


def _placeholders(expressions: str, values: Mapping[str, str | int]) -> dict[str, Any]:
    """What a request says besides the expressions that name attributes and values in it."""
    arguments: dict[str, Any] = {}
    names = set(re.findall(r"#(\w+)", expressions))
    if names:
        arguments["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    if values:
        encoded = encode(values)
        arguments["ExpressionAttributeValues"] = {f":{name}": encoded[name] for name in encoded}
    return arguments


class Database:
    """The tables, through blocking calls that are safe to make from many threads.

    Every read is strongly consistent. Every operation raises `StoreUnavailable` when the service
    can't be reached, fails or throttles for longer than is reasonable to wait.
    """

    def __init__(
        self, client: "DynamoDBClient", clock: Clock, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience

    def patience(self) -> Patience:
        """The time and the pauses for an operation that may have to be tried again."""
        return Patience(self._clock, self._patience)

    def get(self, table: str, key: Key) -> Item | None:
        """Read one item."""
        answer = self._call(
            "get_item", TableName=table, Key=encode(key._asdict()), ConsistentRead=True
        )
        return decode(answer["Item"]) if "Item" in answer else None

    def get_many(self, table: str, wanted: Iterable[Key]) -> dict[Key, Item]:
        """Read items by their keys; what doesn't exist is left out."""
        items: dict[Key, Item] = {}
        for batch in _batches(wanted, BATCH_READS):
            request = {
                table: {"Keys": [encode(key._asdict()) for key in batch], "ConsistentRead": True}
            }
            patience = self.patience()
            while request:
                answer = self._call("batch_get_item", RequestItems=request)
                for raw in answer["Responses"].get(table, []):
                    item = decode(raw)
                    items[keys.of(item)] = item
                request = answer.get("UnprocessedKeys", {})
                if request:
                    patience.after_throttling()
        return items

    def query(
        self,
        table: str,
        within: Range,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        after: Key | None = None,
    ) -> list[Item]:
        """Read neighbouring items in order, at most `limit`, from behind `after` on."""
        arguments = _condition(table, within)
        arguments["ScanIndexForward"] = not newest_first
        if after is not None:
            arguments["ExclusiveStartKey"] = encode(after._asdict())
        items: list[Item] = []
        while limit is None or len(items) < limit:
            if limit is not None:
                arguments["Limit"] = min(limit - len(items), LARGEST_PAGE)
            answer = self._call("query", **arguments)
            items += map(decode, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return items

    def count(self, table: str, within: Range) -> int:
        """How many neighbouring items there are; costs as much as reading them."""
        return sum(page["Count"] for page in self._pages(table, within, Select="COUNT"))

    def keys(self, table: str, within: Range) -> Iterator[list[Key]]:
        """The keys of neighbouring items, some thousands at a time."""
        for page in self._pages(table, within, ProjectionExpression="pk, sk"):
            yield [keys.of(decode(raw)) for raw in page["Items"]]

    def scan(
        self, table: str, condition: str, values: Mapping[str, str], place: Place
    ) -> tuple[list[Key], Place | None]:
        """Read a megabyte of a whole table, at a place, for the items that a condition holds for.

        Args:
            condition: names attributes as `#name` and values as `:name`.

        Returns:
            Their keys, and the place to go on from; None at the segment's end.
        """
        arguments: dict[str, Any] = {
            "TableName": table,
            "ConsistentRead": True,
            "Segment": place.segment,
            "TotalSegments": place.segments,
            "ProjectionExpression": "pk, sk",
            "FilterExpression": condition,
            **_placeholders(condition, values),
        }
        if place.after is not None:
            arguments["ExclusiveStartKey"] = encode(place.after._asdict())
        page = self._call("scan", **arguments)
        found = [keys.of(decode(raw)) for raw in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return found, None
        return found, replace(place, after=keys.of(decode(page["LastEvaluatedKey"])))

    def write(self, write: Write) -> Item:
        """Make one write.

        Returns:
            The item after an update; nothing for the other kinds.

        Raises:
            ConditionFailed: the condition doesn't hold.
        """
        arguments = dict(write.arguments)
        if write.kind == "Update":
            arguments["ReturnValues"] = "ALL_NEW"
        answer = self._patiently(f"{write.kind.lower()}_item", **arguments)
        return decode(answer.get("Attributes", {}))

    def transact(self, writes: Sequence[Write]) -> None:
        """Make all of some writes or none.

        Raises:
            ConditionFailed: a condition doesn't hold.
        """
        self._patiently("transact_write_items", TransactItems=_actions(writes))

    def try_transact(self, writes: Sequence[Write]) -> None:
        """Make all of some writes or none, unless others are about to change the same items.

        Raises:
            ConditionFailed: a condition doesn't hold.
            Contended: another transaction on one of the items is under way.
        """
        self._call("transact_write_items", TransactItems=_actions(writes))

    def put_many(self, table: str, items: Iterable[tuple[Key, Item]]) -> None:
        """Write items, several batches side by side; not atomic."""
        self._write_many(
            table,
            ({"PutRequest": {"Item": encode({**key._asdict(), **item})}} for key, item in items),
        )

    def delete_many(self, table: str, doomed: Iterable[Key]) -> None:
        """Remove items, several batches side by side; not atomic."""
        self._write_many(
            table, ({"DeleteRequest": {"Key": encode(key._asdict())}} for key in doomed)
        )

    def _write_many(self, table: str, requests: Iterable[dict[str, Any]]) -> None:
        def send(batch: Sequence[dict[str, Any]]) -> None:
            patience = self.patience()
            request: dict[str, Any] = {table: batch}
            while request:
                answer = self._call("batch_write_item", RequestItems=request)
                request = answer.get("UnprocessedItems", {})
                if request:
                    patience.after_throttling()

        batches = list(_batches(requests, BATCH_WRITES))
        if len(batches) == 1:
            send(batches[0])
        elif batches:
            with ThreadPoolExecutor(min(len(batches), PARALLEL_BATCHES)) as pool:
                list(pool.map(send, batches))

    def _pages(self, table: str, within: Range, **arguments: str) -> Iterator[dict[str, Any]]:
        request = _condition(table, within) | arguments
        while True:
            page = self._call("query", **request)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _patiently(self, operation: str, **arguments: Any) -> dict[str, Any]:
        patience = self.patience()
        while True:
            try:
                return self._call(operation, **arguments)
            except Contended:
                patience.after_throttling()

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            raise (_refusal(error) or domain_error(error)) from error
        except BotoCoreError as error:
            raise domain_error(error) from error
        finally:
            measure("StoreLatency", (time.perf_counter() - began) * 1000)
        return answer


def _refusal(error: ClientError) -> ConditionFailed | Contended | None:
    """Read an error as the refusal of a conditional write, if it is one.

    Where both occur, a failed condition counts for more than contention.
    """
    response: Any = error.response
    code = error_code(error)
    if code == "TransactionCanceledException":
        reasons = response.get("CancellationReasons", [])
    else:
        # The answer to a single write is shaped like one reason, but for the code's name.
        reasons = [{"Code": code.removesuffix("Exception"), "Item": response.get("Item")}]
    failed = [reason["Code"].startswith("ConditionalCheckFailed") for reason in reasons]
    if any(failed):
        items = [reason.get("Item") for reason in reasons]
        return ConditionFailed(failed, [decode(raw) if raw else None for raw in items])
    if any(reason["Code"] in _CONTENTION for reason in reasons):
        return Contended("The store is busy right now. Please try again.")
    return None


def _actions(writes: Iterable[Write]) -> list[dict[str, Any]]:
    return [{write.kind: write.arguments} for write in writes]


def _condition(table: str, within: Range) -> dict[str, Any]:
    return {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": encode(
            {":pk": within.pk, ":first": within.first, ":last": within.last}
        ),
    }


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch
