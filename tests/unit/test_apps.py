"""An app's form, its template, and what is read out of a model's suggestions."""

from typing import Any

import pytest

from parley.adapters.models.registry import BackEnds
from parley.adapters.system import RandomIds
from parley.domain.apps import MAX_INPUTS_BYTES, App, InputField, InputKind, fill, title_after
from parley.domain.errors import InvalidRequest
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.services import apps as services
from parley.services.apps import read_questions
from parley.services.conversations import Conversations
from parley.services.turns import Turns
from tests.support.clock import ManualClock
from tests.support.stores import in_memory

TEXT = InputField(variable="text", label="Text", kind=InputKind.PARAGRAPH)
SELECT = InputField(
    variable="city", label="City", kind=InputKind.SELECT, options=("Axum", "Gonder")
)
NUMBER = InputField(variable="days", label="Days", kind=InputKind.NUMBER, default="2")


def test_a_template_takes_each_variable_once() -> None:
    inputs = {"a": "{{ b }}", "b": "B", "n": 2.5, "empty": ""}
    assert fill("{{a}} {{ b }} {{n}}[{{empty}}]", inputs) == "{{ b }} B 2.5[]"


def test_a_template_runs_no_code_and_keeps_what_it_does_not_know() -> None:
    template = "{{ a.__class__ }} {{ a|upper }} {{ a + a }} {% if a %} {{other}} {a} {{a"
    assert fill(template, {"a": "A"}) == template


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        (TEXT, None, ""),
        (TEXT, "", ""),
        (TEXT, "ሰላም", "ሰላም"),
        (SELECT, None, ""),
        (SELECT, "Axum", "Axum"),
        (NUMBER, None, 2),
        (NUMBER, "", 2),
        (NUMBER, 3, 3),
        (NUMBER, "3", 3),
        (NUMBER, " 3.5 ", 3.5),
    ],
)
def test_a_field_reads_what_fits_it(field: InputField, given: Any, value: Any) -> None:
    read = field.read(given)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (TEXT, 7),
        (TEXT, ["a"]),
        (SELECT, "Rome"),
        (SELECT, "axum"),
        (NUMBER, "few"),
        (NUMBER, True),
        (NUMBER, float("nan")),
        (NUMBER, float("inf")),
        (NUMBER, "1e400.0"),
        (NUMBER, 2**53),
        (NUMBER, {"a": 1}),
    ],
)
def test_a_field_refuses_what_does_not_by_name(field: InputField, given: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        field.read(given)
    assert refused.value.param == f"inputs.{field.variable}"
    assert field.variable in refused.value.message


def test_a_form_leaves_out_what_it_does_not_ask_for() -> None:
    app = App(form=(TEXT, NUMBER))
    assert app.read_inputs({"text": "a", "other": "b"}) == {"text": "a", "days": 2}


def test_all_inputs_together_have_a_limit() -> None:
    app = App(form=(TEXT,))
    fits = "ሽ" * ((MAX_INPUTS_BYTES - 1) // 3)
    assert app.read_inputs({"text": fits}) == {"text": fits}
    with pytest.raises(InvalidRequest):
        app.read_inputs({"text": fits + "ሽ"})


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Why?", "Why?"),
        (" Why \n not?\t", "Why not?"),
        ("word " * 10, "word word word word word word word word word…"),
        ("ሽ" * 100, "ሽ" * 48 + "…"),
    ],
)
def test_a_title_is_the_first_words(question: str, title: str) -> None:
    assert title_after(question) == title


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ('["Why?", "How?", "When?", "Who?"]', ["Why?", "How?", "When?"]),
        ('Here you are:\n```json\n["Why?",\n "How?"]\n```', ["Why?", "How?"]),
        ("1. Why?\n2) How?\n- **When?**", ["Why?", "How?", "When?"]),
        ('["Why?", "How?"', ["Why?", "How?"]),
        ("Why?\nWhy?\n", ["Why?"]),
        ("¿Por qué?\n为什么\uff1f\nለምን፧", ["¿Por qué?", "为什么\uff1f", "ለምን፧"]),
        ("I have no idea.", []),
        ("[1, null, {}]", []),
        ("a" * 300 + "?", []),
        ("?!", []),
        ("", []),
    ],
)
def test_questions_are_read_out_of_whatever_a_model_wrote(text: str, questions: list[str]) -> None:
    assert read_questions(text) == questions


@pytest.mark.anyio
async def test_a_page_too_large_for_one_reply_goes_on_where_it_ended(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "PAGE_BYTES", 25)
    stores = in_memory(clock)
    conversation = await stores.begin(user="anna")
    for number in range(5):
        await stores.take_turn(conversation, f"ask {number}", f"say {number}")
    caller = Caller(
        Tenant(id=stores.tenant, created_at=clock.now()), "key-1", KeyKind.TEST, user="anna"
    )
    conversations = Conversations(stores.conversations, clock, RandomIds())
    turns = Turns(stores.conversations, BackEnds(), clock, RandomIds())
    apps = services.Apps(stores.directory, stores.conversations, conversations, turns)
    pages = []
    before = None
    while True:
        page = await apps.exchanges(caller, str(conversation.id), before=before, limit=10)
        pages.append([exchange.question.text for exchange in page.items])
        if not page.has_more:
            break
        before = page.items[0].reply.id
    assert pages == [["ask 3", "ask 4"], ["ask 1", "ask 2"], ["ask 0"]]
