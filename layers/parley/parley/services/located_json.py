"""JSON whose values know their lines, so that what is wrong can be shown where it stands."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn, TypeAlias

DEEPEST = 16
"""Levels of lists and objects in each other; nothing a person writes here has more."""

_SPACE = re.compile(r"[ \t\n\r]*")

Scalar: TypeAlias = str | int | Decimal | bool | None
Value: TypeAlias = "Scalar | list[Node] | dict[str, Node]"


@dataclass(frozen=True, slots=True)
class Node:
    """A value, and the line on which it begins."""

    value: Value
    line: int


class NotJsonError(Exception):
    """The text isn't JSON, or an object in it has a key twice."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def parse(text: str) -> Node:
    """Read a JSON text; numbers with a fraction are exact.

    Raises:
        NotJsonError: it isn't one, or holds a key twice in one object.
    """
    reader = _Reader(text)
    try:
        node = reader.value(DEEPEST)
        reader.end()
    except JSONDecodeError as error:
        raise NotJsonError(error.lineno, error.msg) from error
    return node


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON's")


_DECODER = JSONDecoder(parse_float=Decimal, parse_constant=_refuse)


class _Reader:
    """A place in a text that moves on with what is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_at = 0
        self._skip()

    def value(self, depth: int) -> Node:
        """The value that begins here."""
        if depth == 0:
            raise self._wrong(f"Lists and objects in each other are more than {DEEPEST} deep")
        line = self._here()
        if self._took("{"):
            return Node(self._object(depth), line)
        if self._took("["):
            return Node(self._list(depth), line)
        return Node(self._scalar(), line)

    def end(self) -> None:
        """Expect nothing more."""
        if self._at < len(self._text):
            raise self._wrong("Extra data")

    def _object(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not self._took("}"):
            if found:
                self._expect(",")
            line = self._here()
            if not self._text.startswith('"', self._at):
                raise self._wrong("Expecting property name enclosed in double quotes")
            key = str(self._scalar())
            if key in found:
                raise NotJsonError(line, f"`{key}` stands in line {lines[key]} already")
            self._expect(":")
            lines[key], found[key] = line, self.value(depth - 1)
        return found

    def _list(self, depth: int) -> list[Node]:
        found: list[Node] = []
        while not self._took("]"):
            if found:
                self._expect(",")
            found.append(self.value(depth - 1))
        return found

    def _scalar(self) -> Scalar:
        read: Scalar
        try:
            read, end = _DECODER.raw_decode(self._text, self._at)
        except JSONDecodeError:
            raise
        # NaN, a number of thousands of digits, or an exponent that no decimal has.
        except (ValueError, InvalidOperation) as error:
            raise self._wrong("Expecting a number that can be written out") from error
        self._move(end - self._at)
        return read

    def _took(self, mark: str) -> bool:
        taken = self._text.startswith(mark, self._at)
        if taken:
            self._move(1)
        return taken

    def _expect(self, mark: str) -> None:
        if not self._took(mark):
            raise self._wrong(f"Expecting '{mark}' delimiter")

    def _move(self, length: int) -> None:
        self._at += length
        self._skip()

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _here(self) -> int:
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        return self._line

    def _wrong(self, reason: str) -> NotJsonError:
        return NotJsonError(self._here(), reason)
