"""Sessions and turns as the personas API shows them."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Literal

from parley.dialects.personas.errors import envelope
from parley.dialects.personas.schema import AliasSelector, VersionSelector
from parley.dialects.wire import Telling, Wire
from parley.domain.conversations import TEXT_ONLY, FinishReason, Usage
from parley.domain.errors import InvalidRequest
from parley.domain.ids import ConversationId
from parley.domain.personas import PersonaRef, PersonaSelector, VersionType
from parley.domain.turns import Failed, Finished, TextDelta
from parley.services.turns import Turn


def selector(body: AliasSelector | VersionSelector | None) -> PersonaSelector | None:
    """The persona that a request selects; None where it leaves that to the credential."""
    match body:
        case AliasSelector():
            return PersonaSelector(alias=body.alias)
        case VersionSelector():
            ref = PersonaRef(body.persona_id, VersionType(body.version_type))
            return PersonaSelector(ref=ref)
    return None


def session(in_body: str | None, in_query: str | None) -> ConversationId:
    """The session that a continuation is about.

    Raises:
        InvalidRequest: it is named nowhere, or differently in the two places.
    """
    named = {name for name in (in_body, in_query) if name is not None}
    if not named:
        raise InvalidRequest(
            "session_id: name the session to continue, in the body or as a query parameter; it is "
            "the id that the event session_created or session_continued told.",
            param="session_id",
        )
    if len(named) > 1:
        raise InvalidRequest(
            "session_id: the body and the query name different sessions.", param="session_id"
        )
    return ConversationId.parse(named.pop())


def telling(first: Literal["session_created", "session_continued"]) -> Telling:
    """What a stream is told with."""
    return {"first": first, TEXT_ONLY: True}


async def _tell(turn: Turn, telling: Telling) -> AsyncGenerator[bytes, None]:
    """A turn as server-sent events: the session, its tokens, then `done` or `error`."""
    reply = turn.reply
    session = {"session_id": str(reply.id.conversation), "message_id": str(reply.id)}
    yield _event({"type": telling["first"], **session})
    async with aclosing(turn.events()) as happenings:
        async for happening in happenings:
            match happening:
                case TextDelta():
                    yield _event({"type": "token", "content": happening.text})
                case Finished():
                    reply = happening.reply
                    reason = reply.finish_reason or FinishReason.STOP  # a reply that was stopped
                    ended = {"finish_reason": reason, "status": reply.status}
                    yield _event({"type": "done", "usage": _usage(reply.usage), **ended})
                case Failed():
                    yield _event(envelope(happening.error))


def _usage(usage: Usage | None) -> Mapping[str, int]:
    """Tokens as the model counted them; none where it was stopped before it had."""
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _event(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


WIRE = Wire(tell=_tell, preamble=1, longest_end=1, show_id=str)

STREAM: dict[str, Any] = {
    "description": (
        "Server-sent events, each a JSON object with a `type`: `session_created` or "
        "`session_continued` first, then a `token` for each piece of the reply, at the end `done`, "
        "or `error` where the reply broke off."
    ),
    "content": {
        "text/event-stream": {
            "example": (
                'data: {"type": "session_created", '
                '"session_id": "b6016570-001c-8562-8780-000000001267", '
                '"message_id": "78ee1e27-b672-83a7-bc80-000126700002"}\nid: 1\n\n'
                'data: {"type": "token", "content": "Hello"}\nid: 2\n\n'
                'data: {"type": "done", "usage": {"prompt_tokens": 21, "completion_tokens": 1, '
                '"total_tokens": 22}, "finish_reason": "stop", "status": "completed"}\nid: 3\n\n'
            ),
        }
    },
}
"""What the streaming routes say of their 200 in the OpenAPI document."""
