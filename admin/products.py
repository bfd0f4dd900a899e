"""A catalogue as a file: one product a line, as JSON."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parley.dialects.admin.documents import ProductDocument
from parley.domain.catalogue import MAX_PRODUCTS, Product

MOST_MISTAKES = 20
"""Mistakes told at once; a file that is wrong throughout is wrong in the same way."""


class FileError(Exception):
    """The file holds no catalogue; the message says why, a line for each mistake."""


def read(path: Path) -> tuple[Product, ...]:
    """The products of a file, all of them right.

    Raises:
        FileError: it can't be read, or some line of it is wrong.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}.") from error
    products: dict[int, Product] = {}
    lines_of: dict[int, int] = {}
    mistakes: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            product = _product(line)
        except _MistakeError as error:
            mistakes += (f"line {number}: {mistake}" for mistake in error.mistakes)
            continue
        if product.id in products:
            before = lines_of[product.id]
            mistakes.append(f"line {number}: id: {product.id} stands in line {before} already")
        products[product.id] = product
        lines_of.setdefault(product.id, number)
    if not mistakes and not products:
        mistakes.append("there is no product in it")
    if len(products) > MAX_PRODUCTS:
        mistakes.append(f"there are {len(products)} products; a catalogue holds {MAX_PRODUCTS}")
    if mistakes:
        raise FileError("\n".join(_told(path, mistakes)))
    return tuple(products.values())


class _MistakeError(Exception):
    def __init__(self, mistakes: Iterable[str]) -> None:
        super().__init__()
        self.mistakes = tuple(mistakes)


def _product(line: bytes) -> Product:
    try:
        given = json.loads(line, parse_float=Decimal, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise _MistakeError(["it isn't UTF-8"]) from error
    except (ValueError, RecursionError) as error:
        raise _MistakeError([f"it isn't JSON: {error}"]) from error
    if not isinstance(given, dict):
        raise _MistakeError(["it is no JSON object"])
    try:
        return ProductDocument.model_validate(given).read()
    except ValidationError as error:
        raise _MistakeError(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        ) from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON's")


def _told(path: Path, mistakes: list[str]) -> Iterator[str]:
    yield f"{path} was not loaded; nothing has changed."
    for mistake in mistakes[:MOST_MISTAKES]:
        yield f"  {mistake}"
    if len(mistakes) > MOST_MISTAKES:
        yield f"  … and {len(mistakes) - MOST_MISTAKES} more"
