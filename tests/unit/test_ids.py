"""One identity, every form."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.domain.ids import (
    CONVERSATION_BITS,
    MAX_SEQUENCE,
    NEVER_ISSUED,
    ConversationId,
    MessageId,
)

conversations = st.integers(1, (1 << CONVERSATION_BITS) - 1).map(ConversationId)
messages = st.builds(MessageId, conversations, st.integers(1, MAX_SEQUENCE))


@given(conversations)
def test_a_conversation_is_found_again_by_its_uuid_and_its_number(
    conversation: ConversationId,
) -> None:
    assert ConversationId.parse(str(conversation)) == conversation
    assert ConversationId.from_number(conversation.number) == conversation


@given(messages)
def test_a_message_is_found_again_by_its_uuid_and_its_number(message: MessageId) -> None:
    assert MessageId.parse(str(message)) == message
    assert MessageId.from_number(message.number) == message


@given(messages)
def test_a_message_number_stays_exact_in_every_json_reader(message: MessageId) -> None:
    assert 0 < message.number < 2**53


@given(messages)
def test_ids_are_uuids_of_version_8(message: MessageId) -> None:
    for text in (str(message), str(message.conversation)):
        parsed = uuid.UUID(text)
        assert parsed.version == 8
        assert parsed.variant == uuid.RFC_4122


@given(messages)
def test_a_message_is_never_taken_for_a_conversation(message: MessageId) -> None:
    assert ConversationId.parse(str(message)).number == NEVER_ISSUED
    assert MessageId.parse(str(message.conversation)).conversation.number == NEVER_ISSUED


@given(st.uuids())
def test_a_uuid_that_was_never_issued_finds_nothing(foreign: uuid.UUID) -> None:
    assert ConversationId.parse(str(foreign)).number == NEVER_ISSUED


@pytest.mark.parametrize(
    "text", ["", "1", "not-a-uuid", "x" * 5000, "٣" * 32, "{}", "\N{GRINNING FACE}"]
)
def test_text_that_is_no_uuid_finds_nothing(text: str) -> None:
    assert ConversationId.parse(text).number == NEVER_ISSUED
    assert MessageId.parse(text).conversation.number == NEVER_ISSUED


@pytest.mark.parametrize("number", [0, -1, 1 << CONVERSATION_BITS, 2**63])
def test_a_number_out_of_range_finds_nothing(number: int) -> None:
    assert ConversationId.from_number(number).number == NEVER_ISSUED
