"""Conversations and messages as the tenant API shows them."""

from parley.dialects.tenant.schema import (
    ChatOut,
    ChatPage,
    DeletedOut,
    MessageOut,
    MessagePage,
    ToolCallOut,
    ToolResultOut,
    UsageOut,
)
from parley.domain.conversations import Conversation, Message, Page
from parley.domain.ids import ConversationId


def chat(conversation: Conversation) -> ChatOut:
    """One chat."""
    return ChatOut(
        id=str(conversation.id),
        chat_id=str(conversation.id),
        user_id=conversation.user,
        title=conversation.title,
        metadata=dict(conversation.metadata),
        system_prompt=conversation.system_prompt,
        model=conversation.model,
        message_count=conversation.message_count,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


def chats(page: Page[Conversation], *, total: int, offset: int, limit: int) -> ChatPage:
    """A page of a user's chats."""
    return ChatPage(
        chats=[chat(item) for item in page.items],
        total=total,
        offset=offset,
        limit=limit,
        has_more=page.has_more,
    )


def deleted(conversation: ConversationId) -> DeletedOut:
    """That a chat is gone."""
    return DeletedOut(id=str(conversation), chat_id=str(conversation))


def message(stored: Message) -> MessageOut:
    """One message."""
    usage = stored.usage and UsageOut(
        prompt_tokens=stored.usage.prompt_tokens,
        completion_tokens=stored.usage.completion_tokens,
        total_tokens=stored.usage.total_tokens,
    )
    return MessageOut(
        id=str(stored.id),
        message_id=str(stored.id),
        chat_id=str(stored.id.conversation),
        role=stored.role,
        content=stored.text,
        status=stored.status,
        model=stored.model,
        finish_reason=stored.finish_reason,
        usage=usage,
        error=stored.error,
        tool_calls=[
            ToolCallOut(id=call.id, name=call.name, arguments=call.arguments)
            for call in stored.tool_calls
        ],
        tool_results=[
            ToolResultOut(tool_call_id=result.call_id, content=result.text)
            for result in stored.tool_results
        ],
        created_at=stored.created_at,
    )


def messages(
    conversation: Conversation, page: Page[Message], *, offset: int, limit: int
) -> MessagePage:
    """A page of a chat's messages."""
    return MessagePage(
        messages=[message(item) for item in page.items],
        total=conversation.message_count,
        offset=offset,
        limit=limit,
        has_more=page.has_more,
    )
