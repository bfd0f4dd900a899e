"""Items that were written before there was all that is written now."""

from parley.adapters.dynamodb.items import to_message
from parley.domain.conversations import Role
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tools import ToolCall

ITEM = {
    "role": "assistant",
    "created_at": "2026-01-01T00:00:00.000000Z",
    "status": "completed",
    "structured": 1,
}


def test_a_reply_with_calls_reads_from_before_there_were_results() -> None:
    body = '{"text":"","reasoning":"","tool_calls":[{"id":"a","name":"f","arguments":"{}"}]}'
    message = to_message(MessageId(ConversationId(1), 2), ITEM, body)
    assert message.role is Role.ASSISTANT
    assert message.tool_calls == (ToolCall("a", "f", "{}"),)
    assert message.tool_results == ()
