"""What running turns have kept so far, on DynamoDB.

A checkpoint is an item beside the reply that it is of, so it is removed with its conversation, or
with the reply of a stateless completion by the table's owner. Its sort key tells where it ends,
counted in shown deltas, so whoever has some of them reads only what comes behind.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import Database, Write, put
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key
from parley.domain.turns import (
    JOURNAL_LIFETIME,
    Checkpoint,
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from parley.ports import Clock

_TEXT, _REASONING, _CALL = "t", "r", "c"


class Journal:
    """The checkpoints of replies, through blocking calls; a reply is given by its key."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, table: str, reply: Key, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint: one write."""
        self._database.write(self.addition(table, reply, checkpoint))

    def addition(self, table: str, reply: Key, checkpoint: Checkpoint) -> Write:
        """The write that keeps a checkpoint."""
        end = checkpoint.shown + checkpoint.shows
        item: Item = {
            "deltas": _dump(checkpoint.deltas),
            "shows": checkpoint.shows,
            "at": keys.timestamp(checkpoint.at),
            "expires_at": int((checkpoint.at + JOURNAL_LIFETIME).timestamp()),
        }
        return put(table, keys.checkpoint(reply, end, checkpoint.number), item)

    def read(self, table: str, reply: Key, *, after: int) -> tuple[Checkpoint, ...]:
        """Those that go beyond the first `after` shown deltas, in order; with 0, all: one query."""
        found = self._database.query(table, keys.checkpoints(reply, after))
        alive = (_checkpoint(item) for item in found if self._is_alive(item))
        return tuple(checkpoint for checkpoint in alive if checkpoint.deltas)

    def last_sign(self, table: str, reply: Key) -> datetime | None:
        """When the newest one was kept: one query."""
        within = keys.checkpoints(reply, 0)
        found = self._database.query(table, within, limit=1, newest_first=True)
        if not found or not self._is_alive(found[0]):
            return None
        return datetime.fromisoformat(found[0]["at"])

    def remove(self, table: str, reply: Key) -> None:
        """Remove all of a reply: one query, and batches of writes where there are any."""
        for some in self._database.keys(table, keys.checkpoints(reply, 0)):
            self._database.delete_many(table, some)

    def _is_alive(self, item: Item) -> bool:
        expires_at: int = item["expires_at"]
        return expires_at > self._clock.now().timestamp()


def _checkpoint(item: Item) -> Checkpoint:
    end, number = keys.place_of_checkpoint(item["sk"])
    return Checkpoint(
        number=number,
        shown=end - item["shows"],
        deltas=tuple(map(_from_json, json.loads(item["deltas"]))),
        shows=item["shows"],
        at=datetime.fromisoformat(item["at"]),
    )


def _dump(deltas: Sequence[Delta]) -> str:
    return json.dumps(list(map(_to_json, deltas)), ensure_ascii=False, separators=(",", ":"))


def _to_json(delta: Delta) -> str | list[Any]:
    """Most deltas are text and nothing else, so these are kept without a word around them."""
    match delta:
        case TextDelta(text, ()):
            return text
        case TextDelta(text, logprobs):
            return [_TEXT, text, list(logprobs)]
        case ReasoningDelta(text):
            return [_REASONING, text]
        case ToolCallDelta(index, arguments, id_, name):
            return [_CALL, index, arguments, id_, name]


def _from_json(delta: str | list[Any]) -> Delta:
    match delta:
        case str():
            return TextDelta(delta)
        case [kind, text, logprobs] if kind == _TEXT:
            return TextDelta(text, tuple(logprobs))
        case [kind, text] if kind == _REASONING:
            return ReasoningDelta(text)
        case _:
            _, index, arguments, id_, name = delta
            return ToolCallDelta(index, arguments, id_, name)
