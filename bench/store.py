"""The store: calls made one after the other, and capacity consumed, by what is asked.

Capacity units are those AWS bills, by the rules that `tests/support/capacity.py` follows.
"""

import asyncio
import importlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

import boto3
from starlette.types import ASGIApp, Message

from bench import stack
from bench.table import table
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.models.scripted import ScriptedModel
from parley.bootstrap import services
from parley.domain.conversations import Conversation
from parley.edge.application import application
from parley.services.context import messages_to_read
from tests.support.capacity import Cost, metered

ROUTES = (
    "functions.streaming.openai.create_completion",
    "functions.streaming.sessions.send_message",
    "functions.sessions.get_history",
    "functions.sessions.list_chats",
)

SMALL_WINDOW = 640
"""Tokens of a context window for which 10 messages are read: a conversation of 10 fills it."""

OWN_WINDOW = ScriptedModel().context_window

SILENCE = 0.1
"""Seconds between the reply's first delta and its last: calls before and after are told apart."""


_STEPS = [{"text": stack.ANSWER}, {"wait": SILENCE}, {"text": "."}]
SCRIPT = "script:" + json.dumps(_STEPS)


@dataclass
class Calls:
    """When calls of AWS services began and ended, by the monotonic clock."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def sequential(self, begin: float, end: float) -> int:
        """The longest chain of calls, each begun after the one before it had ended."""
        within = (span for span in self.spans if begin <= span[0] < end)
        length, free = 0, begin
        for started, ended in sorted(within, key=lambda span: span[1]):
            if started >= free:
                length, free = length + 1, ended
        return length


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request took of the store."""

    before: int
    """Sequential calls until the answer began."""
    after: int
    cost: Cost
    seconds: float
    """A call's median time."""

    @property
    def figures(self) -> tuple[int, int, int, float, float]:
        """What is shown of it."""
        return self.before, self.after, self.before + self.after, self.cost.reads, self.cost.writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is stored when it is asked for."""

    messages: tuple[int, int] = (10, 1000)
    more_messages: tuple[int, int] = (100, 1000)
    """For what a conversation of the smaller number of `messages` doesn't fill."""
    conversations: tuple[int, int, int] = (10, 100, 1000)


@dataclass(frozen=True, slots=True)
class Row:
    """What was asked, how much was stored, and what it took."""

    name: str
    stored: int
    asked: Asked
    same: bool = True
    """Whether the amount stored is enough for the row to be equal to others of its name."""


class Meter:
    """Asks the product's routes in this process and takes the measure of its AWS clients."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._calls: Calls | None = None
        boto3.setup_default_session()
        events = boto3._get_default_session().events  # noqa: SLF001 - from which its clients take theirs
        events.register("before-call", self._begin)
        events.register("after-call", self._end)
        services.cache_clear()
        store = cast("DynamoConversations", services().store)
        self._client = store._database._client  # noqa: SLF001 - nothing else leads to the client

    async def ask(self, method: str, path: str, query: str = "", **body: Any) -> Asked:
        """Make one request, of a caller who is known already."""
        await services().credentials.authenticate(stack.KEY)
        return await self.ask_unknown(method, path, query, **body)

    async def ask_unknown(self, method: str, path: str, query: str = "", **body: Any) -> Asked:
        """Make one request, and read the answer to its end."""
        with metered(self._client) as cost, self._watched() as calls:
            began = time.monotonic()
            answered = await request(self._app, method, path, query, body)
            ended = time.monotonic()
        return Asked(
            calls.sequential(began, answered),
            calls.sequential(answered, ended),
            cost,
            median(end - begin for begin, end in calls.spans),
        )

    @contextmanager
    def _watched(self) -> Iterator[Calls]:
        self._calls = Calls()
        try:
            yield self._calls
        finally:
            self._calls = None

    def _begin(self, context: dict[str, Any], **_: Any) -> None:
        context["began"] = time.monotonic()

    def _end(self, context: dict[str, Any], **_: Any) -> None:
        if self._calls is not None:
            self._calls.spans.append((context["began"], time.monotonic()))


async def request(
    app: ASGIApp, method: str, path: str, query: str, body: Mapping[str, Any]
) -> float:
    """Make one request of an application; return when its answer began.

    Raises:
        RuntimeError: the answer isn't a success.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [
            (b"authorization", f"Bearer {stack.KEY}".encode()),
            (b"content-type", b"application/json"),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    answered: list[tuple[int, float]] = []
    received: list[bytes] = []

    asked = iter([{"type": "http.request", "body": json.dumps(body).encode() if body else b""}])

    async def receive() -> Message:
        for message in asked:
            return message
        await asyncio.Event().wait()  # the client stays
        raise AssertionError("nothing ends its waiting")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append((message["status"], time.monotonic()))
        else:
            received.append(message.get("body", b""))

    await app(scope, receive, send)
    [(status, at)] = answered
    text = b"".join(received)
    if status >= 300 or b'"error": {' in text:
        raise RuntimeError(f"{method} {path} answered {status}: {text[:500]!r}")
    return at


async def measure(sizes: Sizes) -> list[Row]:
    """Fill the store, ask everything once, and tell what it took."""
    # Imported only here, where a loop runs: Mangum, which wraps handlers, would else make one.
    modules = map(importlib.import_module, ROUTES)
    meter = Meter(application(*(module.router for module in modules)))
    rows = [
        Row(
            "stateless completion, an instance's first",
            0,
            await _complete(meter.ask_unknown),
            same=False,
        ),
        Row("stateless completion", 0, await _complete(meter.ask)),
    ]
    rows += await _turns(meter, sizes)
    rows += await _histories(meter, sizes)
    rows += await _lists(meter, sizes)
    return rows


def report(rows: list[Row]) -> str:
    """The rows as a table."""
    return table(
        "3. Store: sequential calls and consumed capacity units",
        ("", "stored", "calls before", "after", "in all", "read units", "write units"),
        [(row.name, row.stored, *row.asked.figures) for row in rows],
        "Before: until the answer begins. Texts of 200 and 400 bytes.",
        "A completion's model is asked after the first of these, a turn's after the last.",
        f"A window of {SMALL_WINDOW} tokens has {messages_to_read(SMALL_WINDOW)} messages read, "
        f"the scripted model's own {messages_to_read(OWN_WINDOW)}.",
        f"A call took {1000 * median(row.asked.seconds for row in rows):.1f} ms here.",
    )


def differences(rows: list[Row]) -> list[str]:
    """A sentence for each row whose cost depends on how much is stored, though it may not.

    Which calls went side by side isn't compared: on a busy machine some miss each other.
    """
    comparable = [row for row in rows if row.same]
    first = {row.name: row for row in reversed(comparable)}
    return [
        f"{row.name}: {row.asked.cost} with {row.stored:,} stored, "
        f"{first[row.name].asked.cost} with {first[row.name].stored:,}."
        for row in comparable
        if row.asked.cost != first[row.name].asked.cost
    ]


async def _turns(meter: Meter, sizes: Sizes) -> list[Row]:
    rows = []
    for window, lengths in ((SMALL_WINDOW, sizes.messages), (OWN_WINDOW, sizes.more_messages)):
        for number, length in enumerate(lengths):
            talk = await _talk(window * 10 + number, length)
            _set_window(window)
            try:
                asked = await meter.ask("POST", f"/v1/chat/{talk.id}", stream=True, content=SCRIPT)
            finally:
                _set_window(OWN_WINDOW)
            rows.append(Row(f"turn, {messages_to_read(window)} messages read", length, asked))
    return rows


async def _histories(meter: Meter, sizes: Sizes) -> list[Row]:
    rows = []
    for number, length in enumerate(sizes.more_messages):
        talk = await _talk(100 + number, length)
        asked = await meter.ask("GET", f"/v1/chat/{talk.id}/history", "limit=50&order=desc")
        rows.append(Row("newest 50 messages of a history", length, asked))
    return rows


async def _lists(meter: Meter, sizes: Sizes) -> list[Row]:
    rows = []
    for length in sizes.conversations:
        user = f"owner-of-{length}"
        for number in range(length):
            await stack.conversation(services().store, 10_000 * length + number, user=user)
        asked = await meter.ask("GET", "/v1/chats", f"user={user}&limit=20")
        rows.append(Row("newest 20 conversations", length, asked, same=length > 20))
    return rows


async def _complete(ask: Callable[..., Awaitable[Asked]]) -> Asked:
    messages = [{"role": "user", "content": SCRIPT}]
    return await ask("POST", "/v1/chat/completions", stream=True, model="any", messages=messages)


async def _talk(number: int, messages: int) -> Conversation:
    store = services().store
    return await stack.converse(store, await stack.conversation(store, number), messages)


def _set_window(tokens: int) -> None:
    services().models.backend("scripted").context_window = tokens
