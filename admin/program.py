"""All commands of the program."""

import typer

from admin.commands import (
    app_,
    catalogue,
    conversations,
    keys,
    models,
    personas,
    tenants,
    usage,
    users,
)

app = typer.Typer(
    name="parley",
    help="Run a deployment of Parley: its tenants and their keys, what they may do and have used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Commands work on the local stack, or on a deployed one with --stack. "
        "docs/operate.md walks through a first day."
    ),
)
for group in (tenants, keys, models, personas, app_, catalogue, conversations, users, usage):
    app.add_typer(group.app)
