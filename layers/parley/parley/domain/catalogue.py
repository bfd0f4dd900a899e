"""What a shop sells: products, and a catalogue of them that can be searched by meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

CATEGORY = "category"
"""The attribute that says what kind of thing a product is; search reads it beside the name."""

MAX_PRODUCTS = 20_000
"""The most products of one catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product; its id is the shop's own and below 2**53."""

    id: int
    name: str
    description: str
    price: Decimal
    currency: str
    """ISO 4217, such as `EUR`."""
    url: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    stock: int
    """Pieces that can be sold now."""

    @property
    def passage(self) -> str:
        """The text that a question is compared with.

        Sizes, weights and the like are left out of it: measured, they blur what the product is.
        """
        kind = self.attributes.get(CATEGORY)
        name = f"{self.name} ({kind})" if kind else self.name
        return f"{name}. {self.description}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueHead:
    """What tells one version of a tenant's catalogue from another."""

    version: str
    """Never used twice."""
    digest: str
    """Of all the products and of what embedded them: equal for equal contents."""
    embedder: str
    """The name of the model that made the vectors; a question needs a vector of the same."""
    size: int
    """How many products there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """One version of a tenant's catalogue, whole."""

    head: CatalogueHead
    products: tuple[Product, ...]
    vectors: bytes
    """One signed byte for each component, product after product, as `services.vectors` packs them.
    """
