"""How the operator gives a tenant a catalogue."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from parley.domain.catalogue import Catalogue, CatalogueHead, Product
from parley.ports import CatalogueStore, Embedder, Ids
from parley.services.vectors import pack

BATCH = 32
"""Products embedded between two reports of progress: a second or two."""

Progress = Callable[[int, int], None]
"""Told how many of how many products are done."""


def digest(products: Sequence[Product], embedder: str) -> str:
    """What is equal for equal products, embedded by the same model."""
    content = [asdict(product) | {"price": str(product.price)} for product in products]
    text = json.dumps([embedder, content], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Catalogues:
    """Replaces catalogues."""

    def __init__(self, store: CatalogueStore, embedder: Embedder, ids: Ids) -> None:
        self._store = store
        self._embedder = embedder
        self._ids = ids

    async def replace(
        self, tenant: str, products: Sequence[Product], *, progress: Progress
    ) -> CatalogueHead | None:
        """Make these products a tenant's catalogue; a moment's reader sees the old one or the new.

        Returns:
            The new version; None where the catalogue was like this already.

        Raises:
            ModelUnavailable: the search model isn't installed here.
            Conflict: another replacement has begun since.
            StoreUnavailable: the store can't be written to; nothing was changed.
        """
        head = CatalogueHead(
            version=self._ids.secret(),
            digest=digest(products, self._embedder.name),
            embedder=self._embedder.name,
            size=len(products),
        )
        present = await self._store.head(tenant)
        if present is not None and present.digest == head.digest:
            return None
        vectors = await embed(self._embedder, products, progress=progress)
        await self._store.replace(
            tenant, Catalogue(head=head, products=tuple(products), vectors=vectors)
        )
        return head


async def embed(
    embedder: Embedder, products: Sequence[Product], *, progress: Progress = lambda *_: None
) -> bytes:
    """The packed vectors of some products."""
    packed = b""
    for start in range(0, len(products), BATCH):
        batch = products[start : start + BATCH]
        packed += pack(await embedder.passages([product.passage for product in batch]))
        progress(start + len(batch), len(products))
    return packed
