"""Where a web page comes from, as its browser tells: the origins that may read our answers."""

import re
from collections.abc import Collection, Iterable

from parley.domain.errors import InvalidRequest

ANY = "*"
"""Among a deployment's origins: leaves it to its tenants, each of which has a list of its own."""

ORIGIN = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
"""An origin, and nothing around it."""


def read_origins(given: Iterable[str]) -> frozenset[str]:
    """Origins as browsers write them, such as `https://shop.example` or `http://localhost:3000`.

    Raises:
        InvalidRequest: one isn't written so; a browser's would never equal it.
    """
    origins = frozenset(given)
    for origin in sorted(origins):
        if not ORIGIN.fullmatch(origin):
            raise InvalidRequest(
                f"{origin!r} is no origin: that is https:// and a host in lower case, with a port "
                "where it isn't the usual one, and nothing behind it.",
                param="origins",
            )
    return origins


def admits(origins: Collection[str], origin: str) -> bool:
    """Whether an origin is one of these."""
    return ANY in origins or origin in origins
