"""Which products answer a question, if any does.

Whoever sells has to notice when no product was asked for. A model of meaning gives every pair of
texts a similarity, and those of E5 all lie close together, so no similarity by itself means that a
product fits. Who is nearer does: a product is offered only where it is about as near to the
question as the nearest of some typical small talk is. docs/decisions/0005-product-search.md has the
figures.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from parley.domain.catalogue import CATEGORY, Catalogue, CatalogueHead, Product
from parley.domain.errors import ModelUnavailable
from parley.ports import CatalogueStore, Clock, Embedder, Vector
from parley.services.vectors import Matrix, directions, unpack

MOST_FOUND = 5
"""Products offered at once."""

SHARE_OF_BEST = 0.6
"""A product is offered where it rises above the bar by this share of what the best one does."""

RECHECK_SECONDS = 5.0
"""How long a catalogue is used before looking whether it was replaced."""

SHELVES = 16
"""Catalogues kept in memory, those used last; one of 10,000 products takes some 25 MB."""

SMALL_TALK = (
    "Hello",
    "Good evening",
    "Thank you very much",
    "Bye",
    "OK",
    "Yes",
    "No",
    "How are you doing today?",
    "Who am I talking to?",
    "Are you human?",
    "When are you open on weekends?",
    "Where is the store?",
    "How much is shipping and when will it arrive?",
    "I want to return something and get my money back.",
    "How can I pay?",
    "I want to cancel my order",
    "When does my order arrive?",
    "I cannot log in to my account.",
    "I want to talk to an employee.",
    "I am not happy with your service.",
    "What did you say?",
    "Tell me a funny story.",
    "Who was the first president of the country?",
    "How much is two plus two?",
    "Will it rain tomorrow?",
    "qwerty",
    "Can you help me?",
)
"""What people say to a shop when they don't look for a product."""

FOLLOW_UPS = (
    "And a cheaper one?",
    "Which of these is the smallest?",
    "Is it available in another colour?",
    "What is the price of this one?",
    "Tell me more about the first one.",
    "Do you have something like that but better?",
    "And for men?",
    "What sizes are there?",
    "Compare them for me.",
    "What else do you have?",
)
"""What people say about products that were spoken of before."""

BROWSING = (
    "Tell me about your products",
    "What do you sell?",
    "What do you have?",
    "Show me your assortment.",
    "What can you recommend?",
    "What is new?",
    "What is on sale?",
)
"""What people say who want to look around."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a search came to."""

    products: tuple[Product, ...]
    """Those that fit, best first."""
    refers_back: bool = False
    """Whether the question is about what was said before it, more likely than about products."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A catalogue made ready to be searched: the products in stock and their directions."""

    head: CatalogueHead | None
    products: tuple[Product, ...]
    vectors: Matrix
    window: tuple[Product, ...]
    """What is shown to those who want to look around."""
    checked_at: float


@dataclass(frozen=True, slots=True)
class _Talk:
    """What people say to a shop without naming a product, as directions."""

    small: Matrix
    follow_ups: Matrix
    browsing: Matrix


class ProductSearch:
    """Searches tenants' catalogues; keeps those in memory that it has searched lately."""

    def __init__(self, store: CatalogueStore, embedder: Embedder, clock: Clock) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._talk: _Talk | None = None

    async def find(self, tenant: str, question: str) -> Finding:
        """The products in stock that answer a question, in whatever language it is asked.

        Raises:
            ModelUnavailable: this deployment carries no search, or another than the catalogue was
                loaded with.
            StoreUnavailable: the catalogue can't be read.
        """
        shelf = await self._shelf(tenant)
        if not shelf.products:
            return Finding(())
        talk = await self._talked()
        [asked] = directions([await self._embedder.query(question)])
        nearness = shelf.vectors @ asked
        small = float((talk.small @ asked).max())
        follow_up = float((talk.follow_ups @ asked).max())
        browsing = float((talk.browsing @ asked).max())
        leeway = self._embedder.leeway
        refers_back = follow_up > max(small, float(nearness.max()) + leeway)
        chosen = _choose(nearness, bar=small - leeway)
        if chosen:
            return Finding(tuple(shelf.products[place] for place in chosen), refers_back)
        if browsing > max(small, follow_up) + leeway / 2:
            return Finding(shelf.window)
        return Finding((), refers_back)

    async def warm_up(self) -> None:
        """Load the model and what every question needs of it, before there is one."""
        await self._talked()

    async def _talked(self) -> _Talk:
        if self._talk is None:
            known = directions(await self._embedder.queries((*SMALL_TALK, *FOLLOW_UPS, *BROWSING)))
            small, rest = known[: len(SMALL_TALK)], known[len(SMALL_TALK) :]
            self._talk = _Talk(small, rest[: len(FOLLOW_UPS)], rest[len(FOLLOW_UPS) :])
        return self._talk

    async def _shelf(self, tenant: str) -> _Shelf:
        """The tenant's catalogue, at most `RECHECK_SECONDS` behind the store's."""
        now = self._clock.monotonic()
        shelf = self._shelves.get(tenant)
        if shelf is None or now - shelf.checked_at >= RECHECK_SECONDS:
            head = await self._store.head(tenant)
            if shelf is None or head != shelf.head:
                shelf = self._stock(await self._store.load(tenant), now)
            else:
                shelf = replace(shelf, checked_at=now)
            self._shelves[tenant] = shelf
        self._shelves.move_to_end(tenant)
        while len(self._shelves) > SHELVES:
            self._shelves.popitem(last=False)
        return shelf

    def _stock(self, catalogue: Catalogue | None, now: float) -> _Shelf:
        if catalogue is None:
            return _Shelf(None, (), unpack(b"", 0), (), now)
        if catalogue.head.embedder != self._embedder.name:
            raise ModelUnavailable(
                "The catalogue was loaded for another search model; it has to be loaded again."
            )
        places = [place for place, product in enumerate(catalogue.products) if product.stock > 0]
        products = tuple(catalogue.products[place] for place in places)
        vectors = unpack(catalogue.vectors, len(catalogue.products))[places]
        return _Shelf(catalogue.head, products, vectors, _window(products), now)


def _window(products: Sequence[Product]) -> tuple[Product, ...]:
    """The first products of different categories, in the shop's own order."""
    first: dict[str | int, Product] = {}
    for product in products:
        first.setdefault(product.attributes.get(CATEGORY) or product.id, product)
    return tuple(first.values())[:MOST_FOUND]


def _choose(nearness: Vector | Matrix, *, bar: float) -> list[int]:
    """The places of the nearest few that rise above the bar about as far as the very nearest."""
    nearest = np.argsort(-np.asarray(nearness), kind="stable")[:MOST_FOUND].tolist()
    least = bar + SHARE_OF_BEST * max(nearness[nearest[0]] - bar, 0.0)
    return [place for place in nearest if nearness[place] > bar and nearness[place] >= least]
