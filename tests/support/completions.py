"""The stored completion that event files name."""

from datetime import UTC, datetime

from parley.domain.completions import StoredCompletion
from parley.domain.conversations import FinishReason, Message, Role, Status, Usage
from parley.domain.ids import ConversationId, MessageId
from parley.domain.turns import PromptMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = MessageId(ConversationId(4711), 1)
WIRE_ID = f"chatcmpl-{str(ID).replace('-', '')}"


def kept(text: str = "It is warm.") -> StoredCompletion:
    """A completion of the demo tenant's with this text."""
    reply = Message(
        id=ID,
        role=Role.ASSISTANT,
        text=text,
        status=Status.COMPLETED,
        created_at=NOW,
        model="wesen-chat-v1",
        finish_reason=FinishReason.STOP,
        usage=Usage(5, 4),
    )
    return StoredCompletion(
        id=ID,
        tenant="demo",
        user="user-81",
        created_at=NOW,
        model="wesen-chat-v1",
        messages=(
            PromptMessage(Role.SYSTEM, "Be brief."),
            PromptMessage(Role.USER, "How is the weather in Gondar?"),
        ),
        replies=(reply,),
        metadata={"topic": "weather"},
    )
