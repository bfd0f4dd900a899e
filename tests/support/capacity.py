"""What DynamoDB charges for what a client does, by AWS's published rules.

moto reports the same constant for every call. ministack reports writes as the rules have them, the
size of an item included, but one unit for every read whatever its size. So reads are charged here
from the items in the answers, and writes as ministack reports them; a test checks those, too.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Raw = Mapping[str, Mapping[str, Any]]
"""An item as requests and answers carry it."""

READ_BYTES = 4096
WRITE_BYTES = 1024


@dataclass
class Cost:
    """What was used: calls to the service, and capacity units."""

    calls: int = 0
    reads: float = 0
    writes: float = 0


def item_size(item: Raw) -> int:
    """Bytes of an item of text, whole numbers and bytes: its names and values in UTF-8."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def read_units(items: Iterable[Raw]) -> int:
    """Units of one consistent read that returns these items together; a vain one costs one."""
    return max(1, math.ceil(sum(map(item_size, items)) / READ_BYTES))


def write_units(item: Raw) -> int:
    """Units of writing an item outside a transaction."""
    return max(1, math.ceil(item_size(item) / WRITE_BYTES))


@contextmanager
def metered(client: "DynamoDBClient") -> Iterator[Cost]:
    """The cost of all that this client does while the block lasts."""
    cost = Cost()

    def ask(params: dict[str, Any], model: Any, **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        # What is left out of the answer is charged nevertheless, so it has to be seen here.
        if model.name == "Query" and params.get("Select") == "COUNT":
            del params["Select"]
        params.pop("ProjectionExpression", None)
        if model.name == "BatchGetItem":  # the least that each key costs, found or not
            cost.reads += sum(len(read["Keys"]) for read in params["RequestItems"].values())

    def charge(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        cost.calls += 1
        match model.name:
            case "GetItem":
                cost.reads += read_units([parsed.get("Item", {})])
            case "BatchGetItem":
                tables = parsed["Responses"].values()
                cost.reads += sum(read_units([item]) - 1 for items in tables for item in items)
            case "Query":
                cost.reads += read_units(parsed["Items"])
            case "TransactWriteItems" if "Error" in parsed:
                found = (reason.get("Item", {}) for reason in parsed["CancellationReasons"])
                cost.writes += sum(2 * write_units(item) for item in found)
            case _ if "Error" in parsed:
                cost.writes += write_units(parsed.get("Item", {}))
            case _:
                consumed = parsed["ConsumedCapacity"]
                tables = consumed if isinstance(consumed, list) else [consumed]
                cost.writes += sum(table["CapacityUnits"] for table in tables)

    events = client.meta.events
    events.register("provide-client-params.dynamodb", ask)
    events.register("after-call.dynamodb", charge)
    try:
        yield cost
    finally:
        events.unregister("provide-client-params.dynamodb", ask)
        events.unregister("after-call.dynamodb", charge)


def _value_size(value: Mapping[str, str]) -> int:
    if "S" in value:
        return len(value["S"].encode())
    if "B" in value:
        return len(value["B"])
    digits = value["N"].lstrip("-").strip("0")
    return math.ceil(len(digits) / 2) + 1
