"""Apps: what a tenant has prepared for its conversations, and the form a user fills in first."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from parley.domain.conversations import UNDECIDED, Parameters
from parley.domain.errors import InvalidRequest

MAX_INPUTS_BYTES = 100_000
"""What a user may fill into a form altogether, in UTF-8 bytes."""

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")

_LARGEST = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""

_TITLE_LENGTH = 48


class AppUnavailable(InvalidRequest):
    """The app can't answer as it is configured; its owner has to change that."""

    code = "app_unavailable"


class SuggestionsDisabled(InvalidRequest):
    """The app doesn't suggest questions."""

    code = "suggestions_disabled"


class InputKind(StrEnum):
    """What kind of value an input takes; the values are the form's words on the wire."""

    TEXT = "text-input"
    PARAGRAPH = "paragraph"
    SELECT = "select"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One field of an app's form, and the variable of its prompt template that it fills."""

    variable: str
    label: str
    kind: InputKind = InputKind.TEXT
    required: bool = False
    default: str = ""
    max_length: int | None = None
    """Characters of a text at most; None is no limit but that of all inputs together."""
    options: tuple[str, ...] = ()
    """What a `SELECT` may be."""

    def read(self, given: Any) -> str | int | float:
        """The value of this field, where `given` was filled in; None and "" are nothing.

        Raises:
            InvalidRequest: it isn't one that this field takes; the variable is named.
        """
        if given is None or given == "":
            if self.required:
                raise self._refusal("is required")
            given = self.default
            if given == "":
                return ""
        if self.kind is InputKind.NUMBER:
            return self._number(given)
        if not isinstance(given, str):
            raise self._refusal("must be a string")
        if self.kind is InputKind.SELECT and given not in self.options:
            raise self._refusal(f"must be one of the following: {', '.join(self.options)}")
        if self.max_length is not None and len(given) > self.max_length:
            raise self._refusal(f"must have at most {self.max_length} characters")
        return given

    def _number(self, given: Any) -> int | float:
        if isinstance(given, int | float) and not isinstance(given, bool):
            number: int | float = given
        else:
            try:
                number = float(given) if "." in given else int(given)
            except (TypeError, ValueError):
                raise self._refusal("must be a number") from None
        if not -_LARGEST <= number <= _LARGEST:  # which is false of what isn't a number, too
            raise self._refusal("must be a number")
        return number

    def _refusal(self, why: str) -> InvalidRequest:
        return InvalidRequest(
            f"{self.variable} in the input form {why}.", param=f"inputs.{self.variable}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A tenant's app: how its conversations begin and which model answers in them."""

    name: str = ""
    description: str = ""
    author: str = ""
    tags: tuple[str, ...] = ()
    prompt_template: str = ""
    """The system prompt of its conversations, with `{{ variables }}` of the form in it."""
    form: tuple[InputField, ...] = ()
    opening_statement: str = ""
    """What a client shows before a user has said anything; may have variables, too."""
    suggested_questions: tuple[str, ...] = ()
    """What a client offers to a user who has said nothing yet."""
    suggests_after_answer: bool = False
    """Whether the model may be asked what a user could ask next."""
    model: str | None = None
    """The tenant's name of a model; None follows the tenant's default."""
    parameters: Parameters = UNDECIDED

    def read_inputs(self, given: Mapping[str, Any]) -> dict[str, str | int | float]:
        """What was filled into the form, by variable; what isn't of the form is left out.

        Raises:
            InvalidRequest: a value is missing or not one that its field takes; it is named.
        """
        inputs = {field.variable: field.read(given.get(field.variable)) for field in self.form}
        if sum(len(str(value).encode()) for value in inputs.values()) > MAX_INPUTS_BYTES:
            raise InvalidRequest(
                f"The inputs have more than {MAX_INPUTS_BYTES} bytes.", param="inputs"
            )
        return inputs


def fill(template: str, inputs: Mapping[str, Any]) -> str:
    """The template with each `{{ variable }}` replaced by its input, once.

    Nothing in an input is looked at again, and a name that isn't among the inputs stays as it is.
    """
    return _VARIABLE.sub(
        lambda found: str(inputs[found[1]]) if found[1] in inputs else found[0], template
    )


def title_after(question: str) -> str:
    """A conversation's title by what it begins with: the first words of its first question."""
    words = " ".join(question.split())
    if len(words) <= _TITLE_LENGTH:
        return words
    return words[:_TITLE_LENGTH].rsplit(" ", 1)[0] + "…"
