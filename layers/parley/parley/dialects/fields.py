"""Field types the dialects' schemas share."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters but tab, line feed and carriage return; halves of a surrogate pair."""

_PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"
"""The same for JSON Schema, whose strings have no halves of pairs."""


def _as_written(text: str) -> str:
    if found := _NOT_TEXT.search(text):
        raise ValueError(f"must not contain the character U+{ord(found[0]):04X}")
    return text


Text = Annotated[str, AfterValidator(_as_written), Field(json_schema_extra={"pattern": _PATTERN})]
"""Text as a person writes it: of control characters only tab, line feed and carriage return."""

ShortText = Annotated[Text, Field(max_length=256)]
"""A title or a name."""

Identifier = Annotated[Text, Field(min_length=1, max_length=128)]
"""An id that the caller makes, such as a user's."""


def _unicode(text: str) -> str:
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain half of a surrogate pair")
    return text


Unicode = Annotated[str, AfterValidator(_unicode)]
"""Text as a program writes it: any characters, control characters included."""

_MOST_PAIRS = 16


def _few(given: object) -> object:
    if isinstance(given, dict) and len(given) > _MOST_PAIRS:  # before each of them is judged
        raise ValueError(f"must not have more than {_MOST_PAIRS} pairs")
    return given


Metadata = Annotated[
    dict[
        Annotated[Unicode, Field(max_length=64)],
        Annotated[Text, Field(max_length=512)],
    ],
    BeforeValidator(_few),
    Field(max_length=_MOST_PAIRS),
]
"""Up to 16 pairs of what the caller wants to remember."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""
