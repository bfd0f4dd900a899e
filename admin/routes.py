"""`python -m admin.routes load TENANT FILE`: replace the routes of a tenant's models."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from admin import target
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.domain.errors import ParleyError
from parley.domain.tenants import Tenant
from parley.services.credentials import CACHE_SECONDS
from parley.services.model_routes import ModelRoutes
from parley.services.route_files import WrongRoutes


def main() -> int:
    """Load a file; return the exit code."""
    arguments = _arguments()
    file: Path = arguments.file
    try:
        text = file.read_text("utf-8-sig")
        tenant = asyncio.run(_load(arguments, text))
    except WrongRoutes as error:
        return _complain(
            f"{file} was not loaded; nothing has changed.",
            *(f"  {mistake}" for mistake in error.mistakes),
        )
    except UnicodeDecodeError:
        return _complain(f"{file} isn't UTF-8.")
    except OSError as error:
        return _complain(f"{file} can't be read: {error.strerror}.")
    except target.TargetError as error:
        return _complain(str(error))
    except ParleyError as error:
        return _complain(error.message)
    print(f"{tenant.id} has these models now; every function knows within {CACHE_SECONDS:.0f} s:")
    for name in tenant.models:
        print(f"  {name}: {', then '.join(route.label for route in tenant.routes(name))}")
    return 0


async def _load(arguments: argparse.Namespace, text: str) -> Tenant:
    stack: str | None = arguments.stack
    database, tables = target.deployed(stack) if stack else target.local(arguments.data_dir)
    routes = ModelRoutes(DynamoDirectory(database, tables))
    return await routes.replace(arguments.tenant, text)


def _complain(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m admin.routes", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="load")
    load = commands.add_parser("load", help="replace the routes of a tenant's models")
    load.add_argument("tenant")
    load.add_argument("file", type=Path, help="the routes by model name, as JSON")
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
