"""The back end `bedrock`: asks through boto3 in worker threads and hands events to the loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.eventstream import EventStream

from parley.adapters.models.bedrock.failures import failure
from parley.adapters.models.bedrock.replies import Event, Reply, as_events
from parley.adapters.models.bedrock.requests import arguments, check_request
from parley.adapters.models.failures import unreadable
from parley.adapters.models.patience import Patience
from parley.domain.routes import TimeLimits
from parley.domain.turns import CompletionRequest, ModelEvent

CALLS_AT_ONCE = 64
"""Calls that run at once in one process; others wait. Each has a thread that mostly sleeps."""


class Client(Protocol):
    """What is used of boto3's client for `bedrock-runtime`."""

    def converse(self, **arguments: Any) -> Mapping[str, Any]:
        """Ask for a whole reply."""
        ...

    def converse_stream(self, **arguments: Any) -> Mapping[str, Any]:
        """Ask for a reply as a stream."""
        ...


def connect_to_bedrock(
    *,
    session: boto3.Session | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
    limits: TimeLimits | None = None,
) -> Client:
    """A client that keeps to these limits and tries once: routes decide what is tried again.

    Args:
        session: whose region and credentials to use; None takes the environment's.
        region: None takes the session's.
        endpoint_url: None takes the region's.
    """
    limits = limits or TimeLimits()
    config = Config(
        connect_timeout=limits.connect,
        read_timeout=max(limits.first_token, limits.between_tokens),
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=CALLS_AT_ONCE,
        tcp_keepalive=True,
    )
    # The default session isn't safe to make clients from in several threads at once.
    session = session or boto3.Session()
    client: Client = session.client(
        "bedrock-runtime", region_name=region, endpoint_url=endpoint_url, config=config
    )
    return client


class BedrockModel:
    """Every model of one account and region; `request.model` is a model id, profile or ARN."""

    def __init__(
        self,
        *,
        context_window: int,
        connect: Callable[[], Client] | None = None,
        limits: TimeLimits | None = None,
        streaming: bool = True,
    ) -> None:
        """Note how to ask; nothing is connected yet.

        Args:
            context_window: tokens of prompt and reply together, of the models that are asked.
            connect: makes the client when it is first needed; None takes the environment's account.
            limits: how long to wait.
            streaming: False for models that can't stream; a reply comes in one piece then.
        """
        self.context_window = context_window
        self._limits = limits or TimeLimits()
        self._connect = connect or partial(connect_to_bedrock, limits=self._limits)
        self._streaming = streaming
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._workers = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="bedrock")

    def check(self, request: CompletionRequest) -> None:
        """Refuse what no model can do, and what Converse has no words for."""
        check_request(request)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask Bedrock and yield what it says.

        The request counts as accepted at the first piece of the reply, so that everything that
        fails before may be tried elsewhere.
        """
        self.check(request)
        reply = Reply()
        patience = Patience(self._limits)
        call = _Call(
            self._ask, arguments(request, context_window=self.context_window), self._workers
        )
        try:
            while (event := await _next(call, reply, patience)) is not None:
                for said in reply.read(event):
                    patience.renew()
                    yield said
                if reply.ended:
                    patience.near_the_end()
            for said in reply.end():
                yield said
        finally:
            call.cancel()

    def _ask(self, asked: Mapping[str, Any]) -> Iterable[Event]:
        with self._connecting:
            client = self._client = self._client or self._connect()
        if self._streaming:
            stream: EventStream[Event] = client.converse_stream(**asked)["stream"]
            return stream
        answered = client.converse(**asked)
        try:
            return tuple(as_events(answered))
        except (LookupError, TypeError, AttributeError) as error:
            raise unreadable() from error


async def _next(call: "_Call", reply: Reply, patience: Patience) -> Event | None:
    """The next event; None at the end of the reply.

    Raises:
        ParleyError: there is no next event, and the reply hasn't ended.
    """
    try:
        return await patience.wait(call.next_event())
    except TimeoutError as error:
        if reply.ended:
            return None
        raise patience.failure() from error
    except Exception as error:
        known = failure(error, accepted=reply.accepted)
        if known is None:
            raise
        if reply.ended:
            return None
        raise known from error


class _Call:
    """One call in a worker thread, whose events are handed to the event loop."""

    def __init__(
        self,
        ask: Callable[[Mapping[str, Any]], Iterable[Event]],
        asked: Mapping[str, Any],
        workers: ThreadPoolExecutor,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Event | Future[None]] = asyncio.Queue()
        self._lock = threading.Lock()
        self._cancelled = False
        self._stream: EventStream[Event] | None = None
        self._running = workers.submit(self._run, ask, asked)
        self._running.add_done_callback(self._hand_over)

    async def next_event(self) -> Event | None:
        """Wait for the next event; None when the last has come.

        Raises:
            Exception: what botocore raised instead.
        """
        arrived = await self._arrived.get()
        if isinstance(arrived, Future):
            arrived.result()
            return None
        return arrived

    def cancel(self) -> None:
        """Leave the queue, or end the stream at once; does nothing after the end.

        Nothing can interrupt a call that Bedrock hasn't answered at all yet: it is ended as soon as
        Bedrock answers, or doesn't within its time limit.
        """
        with self._lock:
            self._cancelled = True
            stream = self._stream
        self._running.cancel()
        if stream is not None:
            _interrupt(stream)

    def _run(
        self, ask: Callable[[Mapping[str, Any]], Iterable[Event]], asked: Mapping[str, Any]
    ) -> None:
        events = ask(asked)
        if not isinstance(events, EventStream):
            for event in events:
                self._hand_over(event)
            return
        with self._lock:
            self._stream = events
        try:
            if not self._cancelled:
                for event in events:
                    self._hand_over(event)
                    if self._cancelled or not self._loop.is_running():
                        break
        finally:
            with self._lock:
                self._stream = None
            events.close()

    def _hand_over(self, item: Event | Future[None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)
        except RuntimeError:  # the loop is closed, so nobody listens any more
            self._cancelled = True


def _interrupt(stream: "EventStream[Event]") -> None:
    """Wake the thread that waits for the stream's next bytes; it closes the connection then.

    Closing it from here instead would wait for that thread.
    """
    with suppress(OSError, RuntimeError, ValueError):  # it has just ended by itself
        stream._raw_stream.shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - no other way leads to it
