"""Which results answer the calls of a stored conversation."""

from datetime import UTC, datetime

import pytest

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import Conflict, InvalidRequest
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tools import ToolCall, ToolResult
from parley.services.tool_results import result_of_each, up_to_answered

CONVERSATION = ConversationId(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reply(number: int, *calls: str, status: Status = Status.COMPLETED) -> list[Message]:
    """The turn of this number, whose reply asks for these calls."""
    said = Message(
        id=MessageId(CONVERSATION, 2 * number - 1),
        role=Role.USER,
        text="Hello?",
        status=Status.COMPLETED,
        created_at=NOW,
    )
    answer = Message(
        id=MessageId(CONVERSATION, 2 * number),
        role=Role.ASSISTANT,
        text="",
        status=status,
        created_at=NOW,
        tool_calls=tuple(ToolCall(id_, "f", "{}") for id_ in calls),
    )
    return [said, answer]


def results(*ids: str) -> list[ToolResult]:
    return [ToolResult(id_, f"of {id_}") for id_ in ids]


@pytest.mark.parametrize("given", [("a", "b"), ("b", "a")])
def test_results_of_all_calls_answer_them_in_any_order(given: tuple[str, ...]) -> None:
    history = reply(1, "a", "b")
    assert up_to_answered(history, results(*given)) == history


@pytest.mark.parametrize(
    "status", [Status.FAILED, Status.STOPPED, Status.INTERRUPTED], ids=lambda each: each.value
)
def test_results_can_be_given_again_after_a_turn_that_did_not_end_well(status: Status) -> None:
    history = reply(1, "a") + reply(2, status=status) + reply(3, "b", status=status)
    assert up_to_answered(history, results("a")) == history[:2]


def test_results_wait_for_a_reply_that_is_being_made() -> None:
    with pytest.raises(Conflict):
        up_to_answered(reply(1, "a") + reply(2, status=Status.PENDING), results("a"))


@pytest.mark.parametrize(
    ("history", "given", "told"),
    [
        ([], ("a",), "no reply yet"),
        (reply(1, "a", status=Status.STOPPED), ("a",), "no reply yet"),
        (reply(1), ("a",), "has no calls"),
        (reply(1, "a") + reply(2), ("a",), "has no calls"),
        (reply(1, "a") + reply(2, "b"), ("a",), "Result 1 is of no open call"),
        (reply(1, "a"), ("a", "x"), "Result 2 is of no open call; the newest reply's are `a`"),
        (reply(1, "a", "b", "c"), ("b",), "`a`, `c` lack"),
        (reply(1, "a", "b"), ("a", "a"), "`b` lack"),
        (reply(1, "a"), ("a", "a"), "two of the same"),
    ],
)
def test_other_results_are_refused_by_what_is_wrong_with_them(
    history: list[Message], given: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told) as refusal:
        up_to_answered(history, results(*given))
    assert refusal.value.param == "toolResults"


def test_calls_that_a_model_gave_one_id_have_a_result_each() -> None:
    calls = [ToolCall("a", "f", "1"), ToolCall("b", "f", "2"), ToolCall("a", "f", "3")]
    given = [ToolResult("a", "one"), ToolResult("b", "two"), ToolResult("a", "three")]
    assert result_of_each(calls, given) == list(zip(calls, given, strict=True))
    history = reply(1, "a", "a")
    assert up_to_answered(history, results("a", "a")) == history
