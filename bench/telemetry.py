"""Telemetry: what lines, spans and metrics add to a start, a request, a turn and a delta."""

import asyncio
import io
import logging
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from starlette.types import Message, Receive, Scope, Send

from bench.code import Code
from bench.table import table
from parley.domain.conversations import Message as Reply
from parley.domain.conversations import Role, Status, Usage
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.domain.turns import TextDelta
from parley.edge.observed import Observed, label
from parley.services.observation import TurnWatch
from parley.telemetry import spans
from parley.telemetry.logs import LineFormatter

ROUNDS = 5
REQUESTS = 1_000
DELTAS = 100_000
STORE_CALLS = 5
"""Of a request, as many as a stateless completion makes."""

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_IMPORTING = """
import time
import boto3, fastapi
{before}
began = time.process_time()
{statement}
print(time.process_time() - began)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What telemetry adds, in processor time."""

    own_ms: float
    """To a start: its own modules, behind those that are imported anyway."""
    powertools_ms: float
    """To a start: Powertools, which formats the lines."""
    request_us: float
    turn_us: float
    delta_us: float
    sent_us: float
    """To each piece of a body that is sent."""
    line_bytes: int


def measure(code: Code) -> Cost:
    """Measure; every figure is the median of some rounds."""
    with _writing() as lines:
        request = _median(lambda: asyncio.run(_requests(pieces=1)) / REQUESTS)
        length = len(lines.getvalue().splitlines()[-1]) + 1
        long = _median(lambda: asyncio.run(_requests(pieces=101)) / REQUESTS)
        bare = _median(lambda: asyncio.run(_requests(pieces=101, observed=False)) / REQUESTS)
        bare_one = _median(lambda: asyncio.run(_requests(pieces=1, observed=False)) / REQUESTS)
        turn = _median(lambda: copy_context().run(_turns) / REQUESTS)  # it enters its span
        delta = _median(lambda: copy_context().run(_deltas) / DELTAS)
    powertools = "import aws_lambda_powertools"
    others = f"import parley.domain.tenants, parley.domain.turns; {powertools}"
    own = "import parley.edge.observed, parley.services.observation, parley.telemetry.logs"
    return Cost(
        own_ms=_imported(code, own, before=others),
        powertools_ms=_imported(code, powertools, before=""),
        request_us=(request - bare_one) * 1e6,
        turn_us=turn * 1e6,
        delta_us=delta * 1e6,
        sent_us=((long - request) - (bare - bare_one)) / 100 * 1e6,
        line_bytes=length,
    )


def report(cost: Cost) -> str:
    """The figures as a table."""
    return table(
        "4. Telemetry: what lines, spans and metrics add",
        ("", "a start, ms", "a request, µs", "a turn, µs", "a delta, µs", "a piece sent, µs"),
        [
            (
                "processor time",
                cost.own_ms + cost.powertools_ms,
                cost.request_us,
                cost.turn_us,
                cost.delta_us,
                cost.sent_us,
            )
        ],
        f"Of the start, {cost.powertools_ms:.3g} ms are Powertools, {cost.own_ms:.3g} our modules.",
        f"A request with {STORE_CALLS} calls of the store leaves {cost.line_bytes} bytes.",
    )


@contextmanager
def _writing() -> Generator[io.StringIO, None, None]:
    """Lines as they are written, but kept in memory."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("parley.telemetry")
    level, propagates, disabled = logger.level, logger.propagate, logging.root.manager.disable
    logging.disable(logging.NOTSET)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
        logging.disable(disabled)


def _median(once: Callable[[], float]) -> float:
    return median(once() for _ in range(ROUNDS))


async def _requests(*, pieces: int, observed: bool = True) -> float:
    async def answer(_: Scope, __: Receive, send: Send) -> None:
        label("openai", "/v1/chat/completions")
        spans.bind(tenant="demo", key_id="key_test_demo")
        for _call in range(STORE_CALLS):
            spans.measure("StoreLatency", 1.5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _piece in range(pieces):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        """Send nothing."""

    app = Observed(answer, identify=lambda _: "4c7a1f0e") if observed else answer
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    began = time.process_time()
    for _ in range(REQUESTS):
        await app(scope, receive, send)
    return time.process_time() - began


_CALLER = Caller(Tenant(id="demo", created_at=_NOW), "key_test_demo", KeyKind.TEST)
_REPLY = Reply(
    id=MessageId(ConversationId(4711), 2),
    role=Role.ASSISTANT,
    text="",
    status=Status.COMPLETED,
    created_at=_NOW,
    model="smollm2-135m",
    usage=Usage(10, 20),
)


def _turns() -> float:
    delta = TextDelta("x")
    began = time.process_time()
    for _ in range(REQUESTS):
        watch = TurnWatch(_CALLER, _REPLY, dialect="openai")
        watch.enter()
        watch.heard(delta)
        watch.ended(_REPLY, None)
    return time.process_time() - began


def _deltas() -> float:
    watch, delta = TurnWatch(_CALLER, _REPLY, dialect="openai"), TextDelta("x")
    began = time.process_time()
    for _ in range(DELTAS):
        watch.heard(delta)
    return time.process_time() - began


def _imported(code: Code, statement: str, *, before: str) -> float:
    """Milliseconds that an import takes behind those that every function makes anyway."""
    program = _IMPORTING.format(before=before, statement=statement)

    def once() -> float:
        done = subprocess.run(
            [code.python, "-S", "-P", "-c", program],
            env=code.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return float(done.stdout) * 1000

    return _median(once)
