"""Conversations and messages as the sessions API shows them."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from parley.dialects.openai import codec as openai
from parley.dialects.sessions.schema import (
    ChatList,
    ChatOut,
    HistoryOut,
    MessageOut,
    ToolResult,
    ToolResultsBody,
    UsageOut,
    UserMessageBody,
)
from parley.dialects.wire import Telling
from parley.domain import tools
from parley.domain.conversations import Conversation, Message, Page
from parley.domain.ids import MessageId
from parley.services.turns import Turn


def chat(conversation: Conversation) -> ChatOut:
    """One chat."""
    return ChatOut(
        id=str(conversation.id),
        title=conversation.title,
        system_prompt=conversation.system_prompt,
        model=conversation.model,
        user=conversation.user,
        metadata={name: _as_text(value) for name, value in conversation.metadata.items()},
        message_count=conversation.message_count,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def chat_list(page: Page[Conversation]) -> ChatList:
    """A page of chats."""
    return ChatList(data=[chat(item) for item in page.items], has_more=page.has_more)


def message(stored: Message) -> MessageOut:
    """One message."""
    usage = stored.usage and UsageOut(
        prompt_tokens=stored.usage.prompt_tokens,
        completion_tokens=stored.usage.completion_tokens,
        total_tokens=stored.usage.total_tokens,
    )
    return MessageOut(
        id=str(stored.id),
        chat_id=str(stored.id.conversation),
        role=stored.role,
        content=stored.text,
        status=stored.status,
        model=stored.model,
        finish_reason=stored.finish_reason,
        usage=usage,
        error=stored.error,
        reasoning=stored.reasoning or None,
        tool_calls=openai.tool_calls(stored.tool_calls),
        tool_results=[
            ToolResult.model_construct(tool_call_id=result.call_id, content=result.text)
            for result in stored.tool_results
        ],
        created_at=stored.created_at,
    )


def history(
    conversation: Conversation, page: Page[Message], *, offset: int, limit: int
) -> HistoryOut:
    """A page of a chat's messages."""
    return HistoryOut(
        id=str(conversation.id),
        messages=[message(item) for item in page.items],
        total=conversation.message_count,
        offset=offset,
        limit=limit,
        has_more=page.has_more,
    )


def _tell(turn: Turn, telling: Telling) -> AsyncGenerator[bytes, None]:
    return openai.chunks(
        (turn,),
        include_usage=telling["include_usage"],
        stream_id=str(turn.reply.id),
        extra={"chatId": str(turn.reply.id.conversation)},
    )


WIRE = replace(openai.WIRE, tell=_tell, show_id=str, numbers=True)
"""Completion chunks that carry the message's own id and its chat's."""


def any_reply_id(text: str) -> MessageId:
    """Read a reply's id in any form that a dialect shows; one never issued becomes nobody's."""
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
        return MessageId.from_number(int(text))
    return (
        openai.parse_completion_id(text) if text.startswith("chatcmpl-") else MessageId.parse(text)
    )


_MOST_DIGITS = 16
"""Of an id as an integer; without dashes, a UUID has more."""


def text(body: UserMessageBody | ToolResultsBody) -> str:
    """What a user says; nothing where a message has results of calls."""
    return body.content if isinstance(body, UserMessageBody) else ""


def tool_results(body: UserMessageBody | ToolResultsBody) -> tuple[tools.ToolResult, ...]:
    """What calls have come to; none where a message is a user's."""
    if isinstance(body, UserMessageBody):
        return ()
    return tuple(
        tools.ToolResult(result.tool_call_id, result.content) for result in body.tool_results
    )


def _as_text(value: Any) -> str:
    """A value of a chat's metadata; another dialect may have kept more than text there."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
