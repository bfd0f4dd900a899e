"""`python -m local`: the whole stack on one port, until Ctrl-C."""

import asyncio
import os
import sys
from pathlib import Path

from local import ROOT, screen
from local.supervisor import Options, run


def main() -> int:
    """Read the settings from the environment and run; return the exit code."""
    try:
        options = Options(
            port=int(os.environ.get("PORT") or 8000),
            data_dir=Path(os.environ.get("DATA_DIR") or ROOT / ".local"),
            reload=os.environ.get("RELOAD", "1") != "0",
        )
    except ValueError:
        screen.complain(f"PORT={os.environ['PORT']} is not a number.")
        return 1
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
