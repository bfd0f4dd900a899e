"""Requests that carry an idempotency key: the first answer is given again."""

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from fastapi import Request
from starlette.responses import Response

from parley.bootstrap import services
from parley.domain.errors import InvalidRequest, ParleyError, RequestInProgress
from parley.domain.once import LONGEST_KEY, Answer, Done, Once
from parley.domain.tenants import Caller

HEADER = "Idempotency-Key"

HELD_FOR = timedelta(seconds=30)
"""How long the first request may take; longer than a function that answers all at once may run."""

PATIENCE_SECONDS = 20.0
"""How long another request of the same key waits for the first one's answer."""

POLL_SECONDS = 0.25

PARAMETER: Mapping[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Makes the request happen once: sent again within 24 hours with the same key, it gets the "
        "first answer, with the header `idempotent-replayed`. The same key with another request is "
        "a 422."
    ),
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_KEY,
        "pattern": "^[!-~]+$",
    },
}
"""The key, as the OpenAPI document describes it."""

_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


async def _as_it_is(text: str, _caller: Caller) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How answers are kept that must not be stored as they are."""

    shorten: Callable[[str, Caller], Awaitable[str]] = _as_it_is
    """What is kept of a body."""
    restore: Callable[[str, Caller], Awaitable[str]] = _as_it_is
    """The body again."""


KEPT_WHOLE = Keeping()


async def once_of(request: Request, caller: Caller) -> Once | None:
    """The request as one that may come again; None where it has no key.

    Raises:
        InvalidRequest: its key isn't one.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"{HEADER} must be 1 to {LONGEST_KEY} visible ASCII characters.", param=HEADER
        )
    asked = [request.method, request.scope["path"], request.url.query]
    body = hashlib.sha256(await request.body()).hexdigest()
    return Once(
        tenant=caller.tenant.id,
        name=_digest(caller.user or "", key),
        fingerprint=_digest(*asked, body),
    )


async def found(once: Once) -> Once:
    """The request with what is known of its key.

    Raises:
        KeyReused: the key came with another request.
    """
    before = await services().requests.find(once)
    if before is not None:
        once.check(before)
    return replace(once, before=before)


async def answered_once(
    once: Once,
    caller: Caller,
    admission: Awaitable[object],
    answer: Callable[[], Awaitable[Response]],
    keeping: Keeping,
) -> tuple[Response, bool]:
    """Answer a request, or give it the answer that it has had already.

    An answer that isn't a success isn't kept: the request may be tried again.

    Args:
        admission: raises where the request isn't admitted; waited for before anything is done.
        answer: does what the request asks for.

    Returns:
        The answer, and whether it was given before.

    Raises:
        KeyReused: the key came with another request.
        RequestInProgress: the first one is still being answered.
        ParleyError: as `answer`.
    """
    before = await _answer_before(once, admission)
    if before is not None:
        body = await keeping.restore(before.body, caller)
        return Response(body, before.status, media_type=before.media_type or None), True
    try:
        response = await answer()
    except BaseException:
        await _release(once)
        raise
    if response.status_code >= 300:
        await _release(once)
        return response, False
    kept = await keeping.shorten(bytes(response.body).decode(), caller)
    with suppress(ParleyError):  # what was asked for is done, and the caller has to hear of it
        await services().requests.answered(
            once, Answer(response.status_code, response.media_type or "", kept)
        )
    return response, False


async def _answer_before(once: Once, admission: Awaitable[object]) -> Answer | None:
    """The answer that a request has had; None to the one who is to answer it now.

    Raises:
        KeyReused, RequestInProgress: as `answered_once`.
    """
    clock = services().basics.clock
    holding = asyncio.create_task(_hold(once))
    try:
        await admission
    except BaseException:
        if await holding is None:
            await _release(once)
        raise
    known = await holding
    give_up = clock.monotonic() + PATIENCE_SECONDS
    while known is not None:
        once.check(known)
        if known.answer is not None:
            return known.answer
        if clock.monotonic() >= give_up:
            raise RequestInProgress("The same request is being answered. Try again in a moment.")
        await asyncio.sleep(POLL_SECONDS)
        known = await _hold(once)
    return None


async def _hold(once: Once) -> Done | None:
    until = services().basics.clock.now() + HELD_FOR
    return await services().requests.hold(once, until=until)


async def _release(once: Once) -> None:
    """Let another have the request; where that fails, in `HELD_FOR`."""
    with suppress(ParleyError):
        await services().requests.release(once)


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
