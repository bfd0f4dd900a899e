"""How hard the proofs try: a little in `make test`, for minutes in `make soak`."""

import os
from typing import TypeVar

T = TypeVar("T")

SOAK = int(os.environ.get("PARLEY_SOAK_SEEDS", "0"))
"""So many seeds a proof is tried with; 0 is the short run, with one."""

FIRST_SEED = int(os.environ.get("PARLEY_SOAK_FIRST_SEED", "1"))

SEEDS = range(FIRST_SEED, FIRST_SEED + max(SOAK, 1))
"""What chance is made of."""


def effort(short: T, long: T) -> T:
    """The one for this kind of run."""
    return long if SOAK else short
