"""What checkpoints cost: calls, capacity and time to the first token, with and without them.

Without means that the turn is kept as it begins and as it ends, and nothing in between.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

from bench import stack
from bench.table import table
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.system import RandomIds
from parley.bootstrap import services
from parley.domain.conversations import Conversation
from parley.domain.tenants import Caller, KeyKind
from parley.domain.turns import CHECKPOINT_SECONDS
from parley.services.turns import Turn, Turns
from tests.support.capacity import metered

PIECE = "a word "
PIECES_A_SECOND = 50
"""About as fast as a large model speaks."""

NEVER = 3600.0
TOLD: Mapping[str, Any] = {"text_only": True}


@dataclass(frozen=True, slots=True)
class Spent:
    """What one turn took of the store, and how long to its first piece."""

    name: str
    seconds: int
    """How long its model speaks."""
    checkpoints: int
    calls: int
    reads: float
    writes: float
    first: float
    """Seconds from asking to the first piece, of a turn that consists of one; a median."""


async def measure(*, lengths: tuple[int, ...] = (0, 1, 10), runs: int = 40) -> list[Spent]:
    """Take turns with and without checkpoints.

    Args:
        lengths: seconds that the replies take.
        runs: turns of which the time to the first piece is the median.
    """
    asking = {"without": _Asking(with_checkpoints=False), "with": _Asking(with_checkpoints=True)}
    firsts: dict[str, list[float]] = {name: [] for name in asking}
    for each in asking.values():
        await each.begin()
    for _ in range(runs):  # in turn, so that whatever else the machine does befalls both
        for name, each in asking.items():
            firsts[name].append(await each.first())
    return [
        await each.spend(name, seconds, median(firsts[name]))
        for seconds in lengths
        for name, each in asking.items()
    ]


def report(rows: list[Spent]) -> str:
    """The rows as a table, and what checkpoints multiply."""
    without, with_ = ([row for row in rows if row.name == name] for name in ("without", "with"))
    ratios = [
        ("with : without", some.seconds, some.checkpoints, *ratio(some, none))
        for none, some in zip(without, with_, strict=True)
    ]
    measured = [
        (
            f"{row.name} checkpoints",
            row.seconds,
            row.checkpoints,
            float(row.calls),
            row.reads,
            row.writes,
            row.first * 1000,
        )
        for row in rows
    ]
    return table(
        "5. Durability: a turn of a stored conversation with and without checkpoints",
        ("", "s", "checkpoints", "calls", "read units", "write units", "first token, ms"),
        [*measured, *ratios],
        f"s: how long the model speaks, {PIECES_A_SECOND} pieces of {len(PIECE)} bytes a second; "
        "0 is one piece.",
        f"A checkpoint every {CHECKPOINT_SECONDS:g} s, and with it a read whether to stop.",
        "First token: the median of turns of one piece, taken in turn with the others.",
    )


def ratio(some: Spent, none: Spent) -> tuple[float, float, float, float]:
    """How much more one takes than the other: calls, read units, write units, first token."""
    return (
        some.calls / none.calls,
        some.reads / none.reads,
        some.writes / none.writes,
        some.first / none.first,
    )


class _Asking:
    """Somebody who speaks in a conversation of his own."""

    def __init__(self, *, with_checkpoints: bool) -> None:
        built = services()
        self._store = cast("DynamoConversations", built.store)
        self._telling = TOLD if with_checkpoints else {}
        self._turns = Turns(
            built.store,
            built.models,
            built.basics.clock,
            RandomIds(),
            watch_seconds=CHECKPOINT_SECONDS if with_checkpoints else NEVER,
        )
        self._number = 70_000 + with_checkpoints
        self._caller: Caller
        self._talk: Conversation

    async def begin(self) -> None:
        tenant = await services().directory.get_tenant(stack.TENANT)
        if tenant is None:
            raise RuntimeError("The bench's tenant isn't there.")
        self._caller = Caller(tenant, "bench", KeyKind.TEST)
        self._talk = await stack.conversation(services().store, self._number)
        await self.first()

    async def first(self) -> float:
        """Seconds to the first piece of a turn."""
        began = time.perf_counter()
        turn = await self._send({"text": PIECE})
        events = turn.events()
        await anext(events)
        took = time.perf_counter() - began
        async for _ in events:
            pass
        return took

    async def spend(self, name: str, seconds: int, first: float) -> Spent:
        """What a turn takes whose model speaks for so many seconds."""
        pieces = seconds * PIECES_A_SECOND
        step = {"text": PIECE, "repeat": pieces, "wait": 1 / PIECES_A_SECOND}
        with metered(self._store._database._client) as cost:  # noqa: SLF001 - nothing else leads there
            turn = await self._send(step if pieces else {"text": PIECE})
            await turn.result()
            await asyncio.sleep(0)  # the turn's task ends behind its last event
        kept = await self._store.checkpoints(stack.TENANT, turn.reply.id)
        return Spent(name, seconds, len(kept), cost.calls, cost.reads, cost.writes, first)

    async def _send(self, *steps: Mapping[str, Any]) -> Turn:
        return await self._turns.send(
            self._caller,
            self._talk.id,
            dialect="bench",
            text="script:" + json.dumps(steps),
            telling=self._telling,
        )
