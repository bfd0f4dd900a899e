"""The back end `openai_compatible`: asks a server over HTTP and reads its stream."""

import asyncio
import functools
import json
import logging
import re
import ssl
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from parley.adapters.models.checks import check
from parley.adapters.models.failures import misconfigured, unavailable, unreadable
from parley.adapters.models.openai_compatible.failures import in_band, refusal
from parley.adapters.models.openai_compatible.replies import Reply
from parley.adapters.models.openai_compatible.requests import body
from parley.adapters.models.openai_compatible.sse import EventReader, EventTooLong, ServerSentEvent
from parley.adapters.models.patience import Patience
from parley.domain.abilities import ABILITIES, check_abilities
from parley.domain.addresses import is_metadata_address
from parley.domain.errors import ModelUnavailable, StoreUnavailable
from parley.domain.routes import MaxTokensField, TimeLimits
from parley.domain.turns import CompletionRequest, ModelEvent
from parley.domain.words import in_words
from parley.telemetry.spans import propagated

log = logging.getLogger(__name__)

LONGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one event of a stream, or of a whole answer that isn't one."""

LONGEST_ERROR = 64 * 1024
"""Bytes that are read of an error's body."""

ASIDE_SECONDS = 0.5
"""How long what should come at once may take: an error's body, what follows the last event."""

KEEP_ALIVE_SECONDS = 30
CONNECTIONS_KEPT = 32

_DONE = b"[DONE]"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

Key = Callable[[], Awaitable[str]]
"""Gives the key that a server asks for; it is called at every request and may cache."""


class OpenAICompatibleModel:
    """One server, asked for any of its models.

    It can be used from several event loops; each keeps connections of its own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        context_window: int,
        key: Key | None = None,
        headers: Mapping[str, str] | None = None,
        limits: TimeLimits | None = None,
        max_tokens_field: MaxTokensField = "max_tokens",
        lacking: Collection[str] = (),
    ) -> None:
        """Note where to ask; nothing is connected yet.

        Args:
            base_url: what `/chat/completions` is appended to, mostly ending in `/v1`.
            context_window: tokens of prompt and reply together, of the server's models.
            key: gives the bearer token; None sends none.
            headers: sent with each request.
            limits: how long to wait.
            max_tokens_field: how the server calls the limit; OpenAI's newer models take only
                `max_completion_tokens`, most other servers know only `max_tokens`.
            lacking: names of `ABILITIES` that the server doesn't have, to be refused by name.

        Raises:
            ValueError: one of them makes no sense.
        """
        self.context_window = context_window
        self._url = _endpoint(base_url)
        self._key = key
        self._headers = _checked_headers(headers or {})
        # A header may be a scheme and a secret, of which the secret alone may be told.
        told = [word for value in (headers or {}).values() for word in value.split()]
        self._hidden = (self._url.host, *told)
        self._limits = limits or TimeLimits()
        self._max_tokens_field: MaxTokensField = max_tokens_field
        self._lacking = frozenset(lacking)
        if unknown := self._lacking - ABILITIES.keys():
            raise ValueError(f"unknown abilities: {', '.join(sorted(unknown))}")
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}
        self._clients_lock = threading.Lock()

    def check(self, request: CompletionRequest) -> None:
        """Refuse what no model can do, and what this server lacks."""
        check(request)
        check_abilities(request, self._lacking)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the server for a stream and yield what it says.

        The request counts as accepted at the first piece of the reply, so that everything that
        fails before may be tried elsewhere.
        """
        self.check(request)
        reply = Reply()
        patience = Patience(self._limits)
        async with aclosing(self._chunks(request, reply)) as chunks:
            while (chunk := await _next(chunks, reply, patience)) is not None:
                for event in reply.read(chunk):
                    patience.renew()
                    yield event
                if reply.ended:
                    patience.near_the_end()
            for event in reply.end():
                yield event

    async def aclose(self) -> None:
        """Close the connections that the running event loop keeps."""
        with self._clients_lock:
            client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _chunks(
        self, request: CompletionRequest, reply: Reply
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """The chunks of the stream, or one of a whole answer; errors among them are raised."""
        key = await self._read_key()
        hidden = [*self._hidden, *([key] if key else [])]
        try:
            async with aclosing(await self._send(request, key)) as response:
                if not response.is_success:
                    raise refusal(
                        response.status_code,
                        response.headers,
                        await _beginning(response),
                        hidden=hidden,
                        now=datetime.now(UTC),
                    )
                is_json = "json" in response.headers.get("content-type", "")
                async with aclosing(_whole(response) if is_json else _events(response)) as events:
                    async for event in events:
                        chunk = _chunk(event)
                        if error := _error(event, chunk):
                            raise in_band(error, hidden=hidden, accepted=reply.accepted)
                        yield chunk
        except EventTooLong as error:
            raise unreadable() from error
        except httpx.TransportError as error:
            if not reply.ended:
                raise unavailable() from error
        except httpx.HTTPError as error:
            raise unreadable() from error

    async def _send(self, request: CompletionRequest, key: str | None) -> httpx.Response:
        """Send the request; again, where a kept connection turns out to have been closed.

        A server may close one at any time between two requests, which shows at once. It hasn't
        read the request then, so sending it again doesn't ask twice. Each try uses up a kept
        connection; a new one is the last.
        """
        if "tools" in self._lacking:
            request = replace(request, messages=tuple(in_words(request.messages)))
        sent = body(
            request, context_window=self.context_window, max_tokens_field=self._max_tokens_field
        )
        headers = self._headers.copy()
        headers.update(propagated())
        if key:
            headers["Authorization"] = f"Bearer {key}"
        client = self._client()
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            watch = _Watch()
            message = client.build_request(
                "POST", self._url, content=sent, headers=headers, extensions={"trace": watch}
            )
            try:
                return await client.send(message, stream=True)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if watch.connected or clock() - began > ASIDE_SECONDS:
                    raise

    async def _read_key(self) -> str | None:
        if self._key is None:
            return None
        try:
            key = (await self._key()).strip()
        except StoreUnavailable as error:
            raise ModelUnavailable("The model's key can't be read right now.") from error
        if not _HEADER_VALUE.fullmatch(key):
            raise misconfigured()
        return key

    def _client(self) -> httpx.AsyncClient:
        """The running loop's own client: connections can't be shared between loops."""
        loop = asyncio.get_running_loop()
        with self._clients_lock:
            client = self._clients.get(loop)
            if client is None:
                # A client keeps its loop alive, so nothing else would ever remove one.
                for other in [other for other in self._clients if other.is_closed()]:
                    del self._clients[other]
                client = self._clients[loop] = httpx.AsyncClient(
                    verify=_tls(),
                    timeout=httpx.Timeout(None, connect=self._limits.connect),
                    limits=httpx.Limits(
                        max_connections=None,
                        max_keepalive_connections=CONNECTIONS_KEPT,
                        keepalive_expiry=KEEP_ALIVE_SECONDS,
                    ),
                    follow_redirects=False,  # the key and the conversation go to one host only
                )
        return client


class _Watch:
    """Notices whether a request needed a new connection, and cuts one that it must not have."""

    def __init__(self) -> None:
        self.connected = False

    async def __call__(self, name: str, about: Mapping[str, Any]) -> None:
        """Be told by httpcore of what it does.

        Raises:
            ModelError: the server's name led to where credentials are told. Only the connection
                itself shows that: a name may lead elsewhere each time it is looked up.
        """
        if name == "connection.connect_tcp.started":
            self.connected = True
        elif name == "connection.connect_tcp.complete":
            connection = about["return_value"]
            peer = connection.get_extra_info("server_addr")
            if peer and is_metadata_address(str(peer[0])):
                await connection.aclose()
                log.warning("a model's server has a link-local address, where none is asked")
                raise misconfigured()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Shared by all clients: it reads every certificate authority there is."""
    return httpx.create_ssl_context()


def _endpoint(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError("the base URL can't be read") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the base URL must begin with http:// or https:// and a host")
    return url.copy_with(path=f"{url.path.rstrip('/')}/chat/completions")


def _checked_headers(headers: Mapping[str, str]) -> httpx.Headers:
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} can't be sent")
    checked = httpx.Headers(
        {
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # compressing holds tokens back
            "Content-Type": "application/json",
        }
    )
    checked.update(headers)
    return checked


async def _next(
    chunks: AsyncGenerator[Mapping[str, Any], None], reply: Reply, patience: Patience
) -> Mapping[str, Any] | None:
    """The next chunk; None at the end of the reply."""
    try:
        return await patience.wait(anext(chunks, None))
    except TimeoutError as error:
        if reply.ended:
            return None
        raise patience.failure() from error


async def _beginning(response: httpx.Response) -> bytes:
    """As much of an error's body as is needed and comes soon; its status says the most."""
    beginning = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(ASIDE_SECONDS):
            async for piece in response.aiter_bytes():
                beginning += piece
                if len(beginning) >= LONGEST_ERROR:
                    break
    return beginning


async def _events(response: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
    """The events of a stream up to `[DONE]`, or to where it was cut."""
    reader = EventReader(longest=LONGEST_EVENT)
    pieces = response.aiter_bytes()
    async for piece in pieces:
        for event in reader.feed(piece):
            if event.data.strip() == _DONE:
                # A connection can be used again once the body is read to its very end.
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASIDE_SECONDS):
                        async for _ in pieces:
                            pass
                return
            yield event
    rest = reader.rest()
    if rest and _is_json(rest.data):
        yield rest


async def _whole(response: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
    """The answer of a server that doesn't stream, as one event."""
    answer = bytearray()
    async for piece in response.aiter_bytes():
        answer += piece
        if len(answer) > LONGEST_EVENT:
            raise EventTooLong
    yield ServerSentEvent("", bytes(answer))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _error(event: ServerSentEvent, chunk: Mapping[str, Any]) -> object:
    """The error that a chunk is, or nothing that counts as true."""
    is_one = event.name == "error" or chunk.get("object") == "error"
    return chunk.get("error") or (chunk if is_one else None)


def _chunk(event: ServerSentEvent) -> dict[str, Any]:
    try:
        chunk = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise unreadable() from error
    if not isinstance(chunk, dict):
        raise unreadable()
    return chunk
