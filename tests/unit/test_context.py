"""What of a conversation a model is shown."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import ContextTooLong
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tokens import estimate_tokens
from parley.domain.tools import ToolCall, ToolResult
from parley.domain.turns import PromptMessage
from parley.services.context import NO_RESULT, budget, build_prompt, messages_to_read

CONVERSATION = ConversationId(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(
    sequence: int,
    role: Role,
    text: str,
    status: Status = Status.COMPLETED,
    *,
    calls: tuple[str, ...] = (),
    results: Mapping[str, str] | None = None,
) -> Message:
    return Message(
        id=MessageId(CONVERSATION, sequence),
        role=role,
        text=text,
        status=status,
        created_at=NOW,
        tool_calls=tuple(ToolCall(id_, "f", "{}") for id_ in calls),
        tool_results=results_of(results or {}),
    )


def results_of(texts: Mapping[str, str]) -> tuple[ToolResult, ...]:
    return tuple(ToolResult(id_, text) for id_, text in texts.items())


def asked(number: int, question: str, *calls: str) -> list[Message]:
    """The turn of this number: a question, whose reply asks for calls."""
    return [
        message(2 * number - 1, Role.USER, question),
        message(2 * number, Role.ASSISTANT, "", calls=calls),
    ]


def gave(
    number: int,
    results: Mapping[str, str],
    answer: str = "",
    *calls: str,
    status: Status = Status.COMPLETED,
) -> list[Message]:
    """The turn of this number: results of calls, and the reply to them."""
    return [
        message(2 * number - 1, Role.TOOL, "", results=results),
        message(2 * number, Role.ASSISTANT, answer, status, calls=calls),
    ]


def lines(prompt: tuple[PromptMessage, ...]) -> list[str]:
    """A prompt in short: `assistant: text [calls]`, `tool call: text`."""
    return [
        " ".join(
            filter(
                None,
                [
                    f"{shown.role.value}{f' {shown.tool_call_id}' if shown.tool_call_id else ''}:",
                    shown.text,
                    f"[{' '.join(call.id for call in shown.tool_calls)}]"
                    if shown.tool_calls
                    else "",
                ],
            )
        )
        for shown in prompt
    ]


def turns(*texts: tuple[str, str]) -> list[Message]:
    history = []
    for number, (question, answer) in enumerate(texts):
        history.append(message(2 * number + 1, Role.USER, question))
        history.append(message(2 * number + 2, Role.ASSISTANT, answer))
    return history


def texts(prompt: tuple[PromptMessage, ...]) -> list[tuple[str, str]]:
    return [(shown.role.value, shown.text) for shown in prompt]


def test_the_whole_conversation_is_shown_in_order_where_it_fits() -> None:
    prompt = build_prompt(
        system_prompt="Be kind.",
        history=turns(("one", "1"), ("two", "2")),
        text="three",
        budget=1000,
        window=1000,
    )
    assert texts(prompt) == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "1"),
        ("user", "two"),
        ("assistant", "2"),
        ("user", "three"),
    ]


def test_the_oldest_turns_go_first_and_the_system_prompt_stays() -> None:
    history = turns(("a" * 300, "b" * 300), ("c" * 30, "d" * 30))
    prompt = build_prompt(
        system_prompt="Be kind.", history=history, text="now", budget=150, window=200
    )
    assert texts(prompt) == [
        ("system", "Be kind."),
        ("user", "c" * 30),
        ("assistant", "d" * 30),
        ("user", "now"),
    ]


def test_a_turn_is_shown_whole_or_not_at_all_even_when_half_of_it_would_fit() -> None:
    history = turns(("long " * 100, "short"))
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=100, window=200)
    assert texts(prompt) == [("user", "now")]


def test_a_history_that_begins_in_the_middle_of_a_turn_shows_no_answer_without_its_question() -> (
    None
):
    history = turns(("one", "1"), ("two", "2"))[1:]
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=500, window=500)
    assert texts(prompt) == [("user", "two"), ("assistant", "2"), ("user", "now")]


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED])
def test_a_turn_without_an_answer_is_not_shown(status: Status) -> None:
    history = [message(1, Role.USER, "one"), message(2, Role.ASSISTANT, "", status)]
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=500, window=500)
    assert texts(prompt) == [("user", "now")]


def test_a_message_that_fits_no_window_is_refused() -> None:
    with pytest.raises(ContextTooLong):
        build_prompt(system_prompt=None, history=[], text="word " * 400, budget=300, window=400)


def test_amharic_is_not_taken_for_cheap() -> None:
    assert estimate_tokens("ሰላም" * 10) >= 3 * 30


def test_room_is_kept_for_the_reply() -> None:
    assert budget(4096, None) == 3072
    assert budget(4096, 100) == 3996
    assert budget(4096, 10**9) == 2048


def test_how_much_is_read_depends_on_the_model_alone() -> None:
    assert messages_to_read(512) == 8
    assert 2 <= messages_to_read(1) < messages_to_read(10**9) == 400


# Calls and their results --------------------------------------------------------------------------


def test_calls_and_their_results_are_shown_in_the_turns_that_follow() -> None:
    history = [
        *asked(1, "Weather?", "a", "b"),
        *gave(2, {"b": "B", "a": "A"}, "", "c"),
        *gave(3, {"c": "C"}, "Fine."),
    ]
    prompt = build_prompt(
        system_prompt="Be kind.", history=history, text="Thanks", budget=900, window=900
    )
    assert lines(prompt) == [
        "system: Be kind.",
        "user: Weather?",
        "assistant: [a b]",
        "tool a: A",
        "tool b: B",
        "assistant: [c]",
        "tool c: C",
        "assistant: Fine.",
        "user: Thanks",
    ]


def test_new_results_stand_behind_their_calls_and_the_question_these_came_from() -> None:
    history = [*turns(("one", "1")), *asked(2, "Weather?", "a", "b")]
    prompt = build_prompt(
        system_prompt=None,
        history=history,
        tool_results=results_of({"b": "B", "a": ""}),
        budget=900,
        window=900,
    )
    assert lines(prompt) == [
        "user: one",
        "assistant: 1",
        "user: Weather?",
        "assistant: [a b]",
        "tool a:",
        "tool b: B",
    ]


def test_calls_that_nobody_answered_are_said_to_have_no_result() -> None:
    prompt = build_prompt(
        system_prompt=None,
        history=asked(1, "Weather?", "a", "b"),
        text="Never mind",
        budget=900,
        window=900,
    )
    assert lines(prompt) == [
        "user: Weather?",
        "assistant: [a b]",
        f"tool a: {NO_RESULT}",
        f"tool b: {NO_RESULT}",
        "user: Never mind",
    ]


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED, Status.INTERRUPTED])
def test_calls_of_a_reply_that_broke_off_are_not_shown(status: Status) -> None:
    history = [
        message(1, Role.USER, "one"),
        message(2, Role.ASSISTANT, "I", status, calls=("a",)),
        message(3, Role.USER, "two"),
        message(4, Role.ASSISTANT, "", status, calls=("b",)),
    ]
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=900, window=900)
    assert lines(prompt) == ["user: one", "assistant: I", "user: now"]


@pytest.mark.parametrize("begun", ["", "It is"])
def test_results_that_were_given_again_are_shown_once_with_the_reply_that_came_of_them(
    begun: str,
) -> None:
    history = [
        *asked(1, "Weather?", "a"),
        *gave(2, {"a": "A"}, begun, status=Status.FAILED),
        *gave(3, {"a": "A again"}, "Fine."),
    ]
    prompt = build_prompt(
        system_prompt=None, history=history, text="Thanks", budget=900, window=900
    )
    assert lines(prompt) == [
        "user: Weather?",
        "assistant: [a]",
        "tool a: A again",
        "assistant: Fine.",
        "user: Thanks",
    ]


def test_a_reply_that_broke_off_after_results_is_shown_where_the_user_went_on() -> None:
    history = [
        *asked(1, "Weather?", "a"),
        *gave(2, {"a": "A"}, "It is", status=Status.STOPPED),
    ]
    prompt = build_prompt(system_prompt=None, history=history, text="Well?", budget=900, window=900)
    assert lines(prompt) == [
        "user: Weather?",
        "assistant: [a]",
        "tool a: A",
        "assistant: It is",
        "user: Well?",
    ]


def test_an_earlier_exchange_with_calls_is_shown_whole_or_not_at_all() -> None:
    history = [*asked(1, "Weather?", "a"), *gave(2, {"a": "long " * 100}, "Fine.")]
    for room, shown in [(100, 1), (900, 5)]:
        prompt = build_prompt(
            system_prompt=None, history=history, text="now", budget=room, window=900
        )
        assert len(prompt) == shown


def test_the_oldest_calls_of_an_exchange_that_goes_on_go_first_and_its_question_stays() -> None:
    history = [
        *turns(("one", "1")),
        *asked(2, "Weather?", "a"),
        *gave(3, {"a": "long " * 100}, "", "b"),
        *gave(4, {"b": "B"}, "", "c"),
    ]
    prompt = build_prompt(
        system_prompt="Be kind.",
        history=history,
        tool_results=results_of({"c": "C"}),
        budget=100,
        window=900,
    )
    assert lines(prompt) == [
        "system: Be kind.",
        "user: Weather?",
        "assistant: [b]",
        "tool b: B",
        "assistant: [c]",
        "tool c: C",
    ]


def test_an_exchange_that_goes_on_is_shown_as_far_as_it_was_read() -> None:
    history = [*asked(1, "Weather?", "a"), *gave(2, {"a": "A"}, "", "b")][2:]
    prompt = build_prompt(
        system_prompt=None,
        history=history,
        tool_results=results_of({"b": "B"}),
        budget=900,
        window=900,
    )
    assert lines(prompt) == ["assistant: [b]", "tool b: B"]


def test_an_exchange_whose_question_was_not_read_is_not_shown_once_it_is_over() -> None:
    history = [*asked(1, "Weather?", "a"), *gave(2, {"a": "A"}, "Fine."), *turns(("one", "1"))][2:]
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=900, window=900)
    assert lines(prompt) == ["user: one", "assistant: 1", "user: now"]


def test_results_that_fit_no_window_are_refused() -> None:
    with pytest.raises(ContextTooLong):
        build_prompt(
            system_prompt=None,
            history=asked(1, "Weather?", "a"),
            tool_results=results_of({"a": "word " * 400}),
            budget=300,
            window=400,
        )


def test_what_calls_say_counts() -> None:
    history = asked(1, "Weather?", "a")
    history[1] = replace(history[1], tool_calls=(ToolCall("a", "f", "word " * 100),))
    prompt = build_prompt(system_prompt=None, history=history, text="now", budget=100, window=900)
    assert lines(prompt) == ["user: now"]
