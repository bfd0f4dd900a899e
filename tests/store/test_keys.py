"""How keys sort and what they keep apart."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from parley.adapters.dynamodb import keys
from parley.domain.ids import MAX_SEQUENCE, ConversationId, MessageId

conversations = st.builds(ConversationId, st.integers(0, (1 << 33) - 1))
sequences = st.integers(0, MAX_SEQUENCE)
moments = st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC))


@given(conversations, sequences, sequences)
def test_messages_sort_by_sequence(id_: ConversationId, one: int, other: int) -> None:
    first, second = (keys.message("t", MessageId(id_, sequence)) for sequence in (one, other))
    assert (first.sk < second.sk) is (one < other)
    assert keys.sequence(first.sk) == one


@given(conversations, sequences)
def test_a_backward_read_meets_setup_head_and_messages_only(
    id_: ConversationId, sequence: int
) -> None:
    message = keys.message("t", MessageId(id_, sequence))
    head, setup = keys.head("t", id_), keys.setup("t", id_)
    part = keys.body_part(message, "f" * 16, 9999)
    within = keys.messages_and_head("t", id_)
    assert part.sk < within.first <= message.sk < head.sk < setup.sk < within.last
    everything = keys.everything("t", id_)
    assert everything.first < part.sk < setup.sk < everything.last
    assert {keys.sequence(each.sk) for each in (part, head, setup)} == {None}


@given(moments, moments, conversations, conversations)
def test_lists_sort_by_creation_then_number(
    one: datetime, other: datetime, this: ConversationId, that: ConversationId
) -> None:
    first, second = keys.listed("t", "u", one, this), keys.listed("t", "u", other, that)
    assert (first.sk < second.sk) is ((one, this) < (other, that))
    assert keys.listed_conversation(first.sk) == this
    within = keys.list_of("t", "u")
    assert within.first < first.sk < within.last


def test_a_moment_is_the_same_key_in_every_time_zone() -> None:
    moment = datetime(2026, 1, 1, 1, 30, 0, 250, tzinfo=timezone(timedelta(hours=3)))
    assert keys.timestamp(moment) == "2025-12-31T22:30:00.000250Z"
    turn = MessageId(ConversationId(1), 2)
    assert keys.ledger_line("t", moment, turn).pk == "T#t#2025-12-31#2"


@given(st.text(), st.text(), st.text(), st.text())
def test_different_owners_never_share_a_partition(
    tenant: str, user: str, other_tenant: str, other_user: str
) -> None:
    mine = keys.list_of(tenant, user).pk
    theirs = keys.list_of(other_tenant, other_user).pk
    assert (mine == theirs) is ((tenant, user) == (other_tenant, other_user))


@given(st.text(min_size=300).map(lambda text: text * 9), conversations)
def test_keys_stay_within_the_bounds_of_dynamodb(text: str, id_: ConversationId) -> None:
    key = keys.listed(text, text, datetime(2026, 1, 1, tzinfo=UTC), id_)
    part = keys.body_part(keys.message(text, MessageId(id_, MAX_SEQUENCE)), "f" * 16, 9999)
    assert all(len(each.pk.encode()) <= 2048 for each in (key, part))
    assert all(len(each.sk.encode()) <= 1024 for each in (key, part))


def test_the_turns_of_a_conversation_use_every_shard_of_the_ledger() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    replies = [MessageId(ConversationId(7), sequence) for sequence in range(2, 42, 2)]
    partitions = {keys.ledger_line("t", day, reply).pk for reply in replies}
    assert len(partitions) == keys.LEDGER_SHARDS
