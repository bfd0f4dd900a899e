"""`python -m local`: the whole stack on one port, until Ctrl-C."""

import asyncio
import os
import sys
from pathlib import Path

from local import ROOT, screen
from local.supervisor import Options, run

DEFAULT_PORT = "8000"
HIGHEST_PORT = 65535


def main() -> int:
    """Read the settings from the environment and run; return the exit code."""
    port = os.environ.get("PORT") or DEFAULT_PORT
    if not port.isdecimal() or int(port) > HIGHEST_PORT:
        screen.complain(f"PORT={port} is no port: give a number from 0 to {HIGHEST_PORT}.")
        return 1
    options = Options(
        port=int(port),
        data_dir=Path(os.environ.get("DATA_DIR") or ROOT / ".local").absolute(),
        reload=os.environ.get("RELOAD") != "0",
    )
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
