"""Calls told in words."""

from parley.domain.conversations import Role
from parley.domain.tools import ToolCall
from parley.domain.turns import PromptMessage
from parley.domain.words import in_words


def test_calls_become_what_the_assistant_said_and_results_what_the_user_did() -> None:
    calls = ToolCall("a", "look", '{"place": "Gondar"}'), ToolCall("b", "look", "")
    said = [
        PromptMessage(Role.USER, "Look."),
        PromptMessage(Role.ASSISTANT, "Well.", tool_calls=calls),
        PromptMessage(Role.TOOL, "A castle.", tool_call_id="a"),
        PromptMessage(Role.TOOL, "Nothing.", tool_call_id="b"),
        PromptMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("a", "go", "{}"),)),
        PromptMessage(Role.TOOL, "Done.", tool_call_id="a"),
        PromptMessage(Role.TOOL, "Of no call.", tool_call_id="c"),
    ]
    assert list(in_words(said)) == [
        said[0],
        PromptMessage(Role.ASSISTANT, 'Well.\nlook({"place": "Gondar"})\nlook()'),
        PromptMessage(Role.USER, "look returned: A castle.\nlook returned: Nothing."),
        PromptMessage(Role.ASSISTANT, "go({})"),
        PromptMessage(Role.USER, "go returned: Done.\nOf no call."),
    ]


def test_what_has_no_calls_stays_as_it_is() -> None:
    said = [
        PromptMessage(Role.SYSTEM, "Be kind."),
        PromptMessage(Role.USER, "Hi"),
        PromptMessage(Role.ASSISTANT, "Hello"),
    ]
    assert list(in_words(said)) == said
