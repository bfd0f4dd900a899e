"""A catalogue's file is right in every line, or the operator hears what is wrong in which."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from admin.products import MOST_MISTAKES, FileError, read

SHOE: dict[str, Any] = {
    "id": 12,
    "name": "Swiftlane Daily 4",
    "description": "Cushioned running shoes.\nFor every day.",
    "price": 119.9,
    "currency": "EUR",
    "url": "https://shop.example/12",
    "attributes": {"category": "running shoes"},
    "stock": 3,
}


def write(folder: Path, *lines: str | bytes | dict[str, Any]) -> Path:
    path = folder / "products.jsonl"
    encoded = [
        line if isinstance(line, bytes) else (json.dumps(line) if isinstance(line, dict) else line)
        for line in lines
    ]
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in encoded)
    )
    return path


def complaint(path: Path) -> list[str]:
    with pytest.raises(FileError) as raised:
        read(path)
    first, *mistakes = str(raised.value).splitlines()
    assert "nothing has changed" in first
    return [mistake.strip() for mistake in mistakes]


def test_products_are_read_in_the_files_order(tmp_path: Path) -> None:
    second = SHOE | {"id": 3, "name": "Пальто 👋", "price": "89.00", "stock": 0}
    shoe, coat = read(write(tmp_path, SHOE, "", second, "  "))
    assert (shoe.id, shoe.price, shoe.attributes) == (12, Decimal("119.9"), SHOE["attributes"])
    assert (coat.id, coat.name, str(coat.price), coat.stock) == (3, "Пальто 👋", "89.00", 0)


def test_a_price_never_becomes_a_binary_fraction(tmp_path: Path) -> None:
    line = json.dumps(SHOE).replace("119.9", "0.1000")
    [shoe] = read(write(tmp_path, line))
    assert str(shoe.price) == "0.1000"


def test_attributes_may_be_left_out(tmp_path: Path) -> None:
    [shoe] = read(write(tmp_path, {name: SHOE[name] for name in SHOE if name != "attributes"}))
    assert shoe.attributes == {}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, b"\xef\xbb\xbf" + json.dumps(SHOE).encode()))) == 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": 0}, "id"),
        ({"id": "12"}, "id"),
        ({"id": 2**53}, "id"),
        ({"id": True}, "id"),
        ({"id": 1.5}, "id"),
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"description": ""}, "description"),
        ({"description": None}, "description"),
        ({"price": -1}, "price"),
        ({"price": "cheap"}, "price"),
        ({"price": 0.00001}, "price"),
        ({"currency": "€"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"url": "shop.example/12"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"attributes": {"size": 42}}, "attributes.size"),
        ({"attributes": []}, "attributes"),
        ({"stock": -1}, "stock"),
        ({"stock": "many"}, "stock"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_told_with_its_line(
    tmp_path: Path, changed: dict[str, Any], field: str
) -> None:
    [mistake] = complaint(write(tmp_path, SHOE, SHOE | {"id": 13} | changed))
    assert mistake.startswith(f"line 2: {field}: ")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "isn't JSON"),
        ("[1]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"price": NaN}', "isn't JSON"),
        ("[" * 100_000, "isn't JSON"),
        (b'{"name": "\xff"}', "isn't UTF-8"),
    ],
)
def test_a_line_that_is_no_json_object_is_told(tmp_path: Path, line: str | bytes, why: str) -> None:
    [mistake] = complaint(write(tmp_path, SHOE, "", line))
    assert mistake.startswith("line 3: ")
    assert why in mistake


def test_a_missing_field_is_told(tmp_path: Path) -> None:
    [mistake] = complaint(write(tmp_path, {name: SHOE[name] for name in SHOE if name != "price"}))
    assert mistake.startswith("line 1: price: ")


def test_an_id_may_stand_once(tmp_path: Path) -> None:
    [mistake] = complaint(write(tmp_path, SHOE, SHOE | {"id": 3}, SHOE))
    assert mistake == "line 3: id: 12 stands in line 1 already"


def test_all_mistakes_are_told_up_to_a_bound(tmp_path: Path) -> None:
    wrong = [SHOE | {"id": number, "stock": -1} for number in range(1, MOST_MISTAKES + 6)]
    *told, more = complaint(write(tmp_path, *wrong))
    assert len(told) == MOST_MISTAKES
    assert more == "… and 5 more"


def test_a_file_without_products_is_refused(tmp_path: Path) -> None:
    assert complaint(write(tmp_path, "", " ")) == ["there is no product in it"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't be read"):
        read(tmp_path / "none.jsonl")
