"""The fake of the catalogue store: everything in this process's memory."""

from parley.domain.catalogue import Catalogue, CatalogueHead


class MemoryCatalogues:
    """The `CatalogueStore` in memory; a replacement is one assignment, so it is atomic."""

    def __init__(self) -> None:
        self._catalogues: dict[str, Catalogue] = {}

    async def head(self, tenant: str) -> CatalogueHead | None:
        """The version of a tenant's catalogue."""
        catalogue = self._catalogues.get(tenant)
        return catalogue.head if catalogue else None

    async def load(self, tenant: str) -> Catalogue | None:
        """A tenant's catalogue as it is now."""
        return self._catalogues.get(tenant)

    async def replace(self, tenant: str, catalogue: Catalogue) -> None:
        """Put a catalogue in place of the one there is."""
        self._catalogues[tenant] = catalogue
