"""Counting in windows of time on DynamoDB."""

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, update
from parley.ports import Clock


class DynamoCounter:
    """The `Counter` on DynamoDB: one write for each event, admitted or not.

    Windows are aligned to the clock, so that every instance agrees on them. Where the answer to a
    write is lost and botocore repeats it, one event counts twice: never too few.
    """

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._table = tables.transient
        self._clock = clock

    @in_thread
    def admit(self, name: str, *, limit: int, window: int) -> tuple[bool, int, float]:
        """Count one event of `name`, which begins with the tenant's id."""
        now = self._clock.now().timestamp()
        start = int(now // window) * window
        end = start + window
        if limit < 1:
            return False, 0, end - now
        count = update(
            self._table,
            keys.window(name, window, start),
            "ADD #counted :one SET #expires_at = :end",
            {"one": 1, "end": end, "limit": limit},
            condition="attribute_not_exists(#counted) OR #counted < :limit",
        )
        try:
            counted: int = self._database.write(count)["counted"]
        except ConditionFailed:
            return False, 0, end - now
        return True, limit - counted, end - now
