"""What of a conversation a model is shown."""

from datetime import UTC, datetime

import pytest

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import ContextTooLong
from parley.domain.ids import ConversationId, MessageId
from parley.domain.tokens import estimate_tokens
from parley.domain.turns import PromptMessage
from parley.services.context import budget, build_prompt, messages_to_read

CONVERSATION = ConversationId(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(sequence: int, role: Role, text: str, status: Status = Status.COMPLETED) -> Message:
    return Message(
        id=MessageId(CONVERSATION, sequence), role=role, text=text, status=status, created_at=NOW
    )


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
