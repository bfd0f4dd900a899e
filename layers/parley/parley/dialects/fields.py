"""Field types the dialects' schemas share."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters but tab, line feed and carriage return; halves of a surrogate pair."""


def _as_written(text: str) -> str:
    if found := _NOT_TEXT.search(text):
        raise ValueError(f"must not contain the character U+{ord(found[0]):04X}")
    return text


Text = Annotated[str, AfterValidator(_as_written)]
"""Text as a person writes it: of control characters only tab, line feed and carriage return."""

ShortText = Annotated[Text, Field(max_length=256)]
"""A title or a name."""

Identifier = Annotated[Text, Field(min_length=1, max_length=128)]
"""An id that the caller makes, such as a user's."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""
