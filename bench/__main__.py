"""`python -m bench`: print every part; exit with 1 where what must be equal isn't."""

import asyncio
import logging
import os
import platform
import sys

from bench import cold_start, durability, embedded, store, streaming, telemetry
from bench.code import code
from bench.stack import aws

STARTS = 11
DELTAS = 3000
"""As long a reply as the scripted model's context window has room for, in round numbers."""


def main() -> int:
    """Measure and print; return the exit code."""
    print(f"{platform.python_implementation()} {platform.python_version()}", end=", ")
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors", end=", ")
    print(f"load {os.getloadavg()[0]:.1f} before the start\n")
    logging.disable(logging.INFO)  # a line for each request would stand between the tables
    measured = code()
    with aws():
        print(cold_start.report(measured, cold_start.measure(measured, runs=STARTS)))
        print(cold_start.imports(measured))
        cases = streaming.measure(measured, short_runs=40, long_runs=10, deltas=DELTAS)
        print(streaming.report(measured, cases, deltas=DELTAS))
        rows = asyncio.run(store.measure(store.Sizes()))
        print(store.report(rows))
        checkpoints = asyncio.run(durability.measure())
    print(telemetry.report(telemetry.measure(measured)))
    print(durability.report(checkpoints))
    print(embedded.report(embedded.measure()))
    differences = store.differences(rows)
    for sentence in differences:
        print(f"This may not depend on how much is stored: {sentence}", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
