"""What is said over a WebSocket of the tenant API: one JSON object in each frame."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, assert_never

from pydantic import BaseModel, Field, ValidationError

from parley.dialects.fields import Identifier, Text
from parley.dialects.tenant.errors import describe
from parley.domain.conversations import Usage
from parley.domain.errors import InvalidRequest, MissingField, ParleyError
from parley.domain.ids import ConversationId, MessageId
from parley.domain.sockets import (
    ChatRef,
    Connection,
    Entry,
    ErrorOccurred,
    MessageReceived,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    UserCreated,
)
from parley.services.live import Said


class MessageFrame(BaseModel):
    """A message of the user; other fields are ignored."""

    content: Annotated[Text, Field(min_length=1)]
    message_id: Identifier | None = None
    """The client's own id, given back as `client_message_id`."""


class TenantFrames:
    """The `Wire` of the tenant API."""

    name: ClassVar[str] = "tenant"

    def read(self, frame: str) -> Said:
        """What a client says."""
        try:
            message = MessageFrame.model_validate_json(frame)
        except ValidationError as error:
            raise _refusal(error) from error
        return Said(message.content, message.message_id)

    def describe(self, error: ParleyError) -> Mapping[str, Any]:
        """An error's code, message and details."""
        return describe(error)

    def established(self, connection: Connection, at: datetime, *, resumed: bool) -> str:
        """The first frame; its `seq` is the position that all others come after."""
        return _frame(
            "connection_established",
            connection.conversation,
            seq=connection.cursor,
            at=at,
            connection_id=connection.id,
            user_id=connection.user,
            resumed=resumed,
        )

    def refused(self, error: Mapping[str, Any], at: datetime) -> str:
        """An error that belongs to no chat."""
        return _frame("error", None, seq=None, at=at, **error)

    def happened(self, chat: ChatRef, entry: Entry) -> str:
        """One event."""
        kind, message, fields = _told(entry)
        return _frame(
            kind, chat.conversation, about=message, seq=entry.position, at=entry.at, **fields
        )


def _told(entry: Entry) -> tuple[str, MessageId | None, Mapping[str, Any]]:
    """An event's type, the message it is about, and what else there is to tell."""
    match entry.event:
        case UserCreated(user):
            return "user_created", None, {"user_id": user}
        case MessageReceived(message, text, client_id):
            return (
                "message_received",
                message,
                {"role": "user", "content": text, "client_message_id": client_id},
            )
        case ReplyStarted(message):
            return "message_stream_started", message, {"role": "assistant"}
        case ReplyText(message, text):
            return "message_stream_token", message, {"content": text}
        case ReplyEnded(message, status, finish_reason, usage):
            return (
                "message_stream_ended",
                message,
                {"status": status, "finish_reason": finish_reason, "usage": _usage(usage)},
            )
        case ErrorOccurred(error, message, client_id):
            return "error", message, {**error, "client_message_id": client_id}
        case unknown:
            assert_never(unknown)


def _frame(
    kind: str,
    chat: ConversationId | None,
    *,
    about: MessageId | None = None,
    seq: int | None,
    at: datetime,
    **fields: Any,
) -> str:
    frame = {
        "type": kind,
        "chat_id": chat and str(chat),
        "message_id": about and str(about),
        "seq": seq,
        "timestamp": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **fields,
    }
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def _usage(usage: Usage | None) -> Mapping[str, int] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _refusal(error: ValidationError) -> InvalidRequest:
    """The first of the problems with a frame; nothing of what was sent is repeated."""
    problem = error.errors(include_input=False, include_url=False)[0]
    if problem["type"] == "json_invalid":
        return InvalidRequest("The frame isn't valid JSON.")
    param = ".".join(map(str, problem["loc"])) or None
    if param is None:
        return InvalidRequest("The frame must be a JSON object.")
    message = f"{param}: {problem['msg'].removeprefix('Value error, ')}."
    kind = MissingField if problem["type"] == "missing" else InvalidRequest
    return kind(message, param=param)
