"""Catalogues on DynamoDB.

A version's products and vectors are one run of bytes, cut into parts that fit an item each. A head
item names the version that readers read. `replace` takes these steps, each of which may be the last
one before a crash:

    note the new version in the head as `spare`      whoever noted one before can't finish any more
    remove the parts of the spare version before it
    write the new version's parts
    name the new version in the head,                if it is still the spare one
      and the old version as `spare`
    remove the old version's parts
    take `spare` out of the head

So whatever parts there are, the head knows them: they are the present version's or the spare one's.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from decimal import Decimal

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, put
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key
from parley.domain.catalogue import Catalogue, CatalogueHead, Product
from parley.domain.errors import Conflict

PART_BYTES = 380_000
"""The most bytes of one part; an item has at most 400 KB."""

_LENGTH_BYTES = 4


class DynamoCatalogues:
    """The `CatalogueStore` on DynamoDB."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.directory

    @in_thread
    def head(self, tenant: str) -> CatalogueHead | None:
        """The version of a tenant's catalogue."""
        return _to_head(self._head(tenant))

    @in_thread
    def load(self, tenant: str) -> Catalogue | None:
        """A tenant's catalogue as it is now."""
        patience = self._database.patience()
        while True:
            item = self._head(tenant)
            head = _to_head(item)
            if head is None:
                return None
            parts = self._database.query(self._table, keys.catalogue_parts(tenant, head.version))
            if len(parts) == item["parts"]:
                return _unpack(head, b"".join(part["data"] for part in parts))
            patience.after_collision()  # replaced between the two reads

    @in_thread
    def replace(self, tenant: str, catalogue: Catalogue) -> None:
        """Put a catalogue in place of the one there is."""
        new = catalogue.head.version
        before = self._reserve(tenant, new)
        old = before.get("version")
        if "spare" in before:
            self._remove(tenant, before["spare"])
        parts = list(_pack(catalogue))
        self._database.put_many(
            self._table,
            (
                (keys.catalogue_part(tenant, new, number), Item(data=part))
                for number, part in enumerate(parts)
            ),
        )
        head = Item(**asdict(catalogue.head), parts=len(parts))
        try:
            self._write(tenant, head | {"spare": old}, version=old, spare=new)
        except ConditionFailed as refusal:
            if not _says(refusal, version=new):
                self._remove(tenant, new)
                raise Conflict(
                    "The catalogue is being replaced by another call that began later."
                ) from refusal
        if old is not None:
            self._remove(tenant, old)
            with suppress(ConditionFailed):  # the next call has begun and sees to it
                self._write(tenant, head, version=new, spare=old)

    def _head(self, tenant: str) -> Item:
        return self._database.get(self._table, keys.catalogue(tenant)) or {}

    def _reserve(self, tenant: str, new: str) -> Item:
        """Note that a version is about to be written; return the head as it was."""
        patience = self._database.patience()
        while True:
            before = self._head(tenant)
            kept = {name: value for name, value in before.items() if name not in Key._fields}
            try:
                self._write(
                    tenant,
                    kept | {"spare": new},
                    version=before.get("version"),
                    spare=before.get("spare"),
                )
            except ConditionFailed as refusal:
                if _says(refusal, spare=new):
                    return before
                patience.after_collision()
            else:
                return before

    def _write(self, tenant: str, head: Item, *, version: str | None, spare: str | None) -> None:
        """Write the head where these two are still what it says; no version is used twice."""
        expected = {"version": version, "spare": spare}
        condition = " AND ".join(
            f"attribute_not_exists(#{name})" if value is None else f"#{name} = :{name}"
            for name, value in expected.items()
        )
        values = {name: value for name, value in expected.items() if value is not None}
        key = keys.catalogue(tenant)
        self._database.write(put(self._table, key, head, condition=condition, values=values))

    def _remove(self, tenant: str, version: str) -> None:
        for found in self._database.keys(self._table, keys.catalogue_parts(tenant, version)):
            self._database.delete_many(self._table, found)


def _says(refusal: ConditionFailed, **ours: str) -> bool:
    """Whether the head that was met says what only we write.

    botocore repeats a write whose answer was lost, and then meets its own item.
    """
    (found,) = refusal.found
    return found is not None and ours.items() <= found.items()


def _to_head(item: Item) -> CatalogueHead | None:
    """What readers need of a head; None where nothing but a reservation was ever made."""
    if "version" not in item:
        return None
    return CatalogueHead(**{field.name: item[field.name] for field in fields(CatalogueHead)})


def _pack(catalogue: Catalogue) -> Iterator[bytes]:
    products = [asdict(product) | {"price": str(product.price)} for product in catalogue.products]
    text = zlib.compress(json.dumps(products, ensure_ascii=False).encode())
    data = len(text).to_bytes(_LENGTH_BYTES) + text + catalogue.vectors
    for start in range(0, len(data), PART_BYTES):
        yield data[start : start + PART_BYTES]


def _unpack(head: CatalogueHead, data: bytes) -> Catalogue:
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES])
    products = json.loads(zlib.decompress(data[_LENGTH_BYTES:end]))
    return Catalogue(
        head=head,
        products=tuple(
            Product(**product | {"price": Decimal(product["price"])}) for product in products
        ),
        vectors=data[end:],
    )
