"""Puts the readiness check together; apart from `bootstrap`, since one function makes it."""

import functools

from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.probes import StoreProbe, model_probe
from parley.bootstrap import services
from parley.services.readiness import Readiness


@functools.cache
def readiness() -> Readiness:
    """What this process's environment says is needed.

    Raises:
        RuntimeError, ValueError: a setting is missing or wrong.
    """
    made = services()
    basics = made.basics
    model = made.models.backend("embedded")
    embedded = model if isinstance(model, EmbeddedModel) else EmbeddedModel()
    return Readiness(
        {
            "store": StoreProbe(basics.database, basics.tables).ask,
            "model": model_probe(basics.settings.model_probe, embedded=embedded),
        },
        basics.clock,
    )
