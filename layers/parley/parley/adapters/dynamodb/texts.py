"""Texts of any length, in parts where one item can't hold them.

An item has at most 400 KB. A text that fits is the attribute `text` of its owner. A longer one is
cut into items of their own, and the owner has `body`, the text's digest, and `parts`, their number.
"""

import hashlib
from collections.abc import Iterable
from itertools import chain

from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import Database
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key

PART_BYTES = 350_000
"""The most UTF-8 bytes of text in one item; the rest is for its other attributes."""


def store(owner: Key, text: str) -> tuple[Item, list[tuple[Key, Item]]]:
    """What keeps a text: attributes of its owner, and the items to be written beside it, if any."""
    data = text.encode()
    if len(data) <= PART_BYTES:
        return {"text": text}, []
    digest = hashlib.sha256(data).hexdigest()[:16]
    parts = [
        (keys.body_part(owner, digest, number), Item(text=part))
        for number, part in enumerate(_cut(data))
    ]
    return {"text": "", "body": digest, "parts": len(parts)}, parts


def read(database: Database, table: str, owners: Iterable[Item]) -> dict[Key, str]:
    """The texts of items, by key; reads only where there are parts.

    One whose parts are gone is left out: that happens only while it is being deleted, as parts are
    written before what points to them.
    """
    texts: dict[Key, str] = {}
    in_parts: dict[Key, list[Key]] = {}
    for item in owners:
        key = keys.of(item)
        if "body" in item:
            in_parts[key] = parts_of(item)
        else:
            texts[key] = item["text"]
    found = database.get_many(table, chain.from_iterable(in_parts.values()))
    for key, parts in in_parts.items():
        if all(part in found for part in parts):
            texts[key] = "".join(found[part]["text"] for part in parts)
    return texts


def parts_of(owner: Item) -> list[Key]:
    """The keys of the items beside this one that keep its text; none where it fits."""
    key = keys.of(owner)
    return [keys.body_part(key, owner["body"], number) for number in range(owner.get("parts", 0))]


def _cut(data: bytes) -> Iterable[str]:
    start = 0
    while start < len(data):
        end = min(start + PART_BYTES, len(data))
        while end < len(data) and data[end] & 0b1100_0000 == 0b1000_0000:
            end -= 1  # never between the bytes of one character
        yield data[start:end].decode()
        start = end
