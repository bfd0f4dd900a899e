"""What every command has: where it works, how it talks, and how it ends."""

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from admin import target
from admin.screen import Screen
from parley.domain.errors import ParleyError

if TYPE_CHECKING:
    from parley.bootstrap import Services
    from parley.bootstrap_admin import Administration

FAILED = 1
REFUSED = 2
"""As for a command line that can't be understood: it has to be said differently."""
INTERRUPTED = 130

_WHERE = "Where and how"

Stack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="A deployed stack; without it the local one.",
        rich_help_panel=_WHERE,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Of your AWS configuration: whose credentials and region find the stack.",
        rich_help_panel=_WHERE,
    ),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        envvar="DATA_DIR",
        help="Of the local stack.",
        rich_help_panel=_WHERE,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Answer in JSON, for scripts.", rich_help_panel=_WHERE)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask, do it.", rich_help_panel=_WHERE)]


class CommandError(Exception):
    """What was asked for can't be done; the message is one sentence for the operator."""


class NotConfirmedError(CommandError):
    """The operator didn't say yes, or couldn't be asked."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One command's run."""

    stack: str | None
    profile: str | None
    data_dir: Path
    screen: Screen
    yes: bool = False

    @cached_property
    def services(self) -> "Services":
        """The services over the tables of the stack.

        Raises:
            TargetError: it can't be found.
        """
        settings = (
            target.deployed(self.stack, self.profile) if self.stack else target.local(self.data_dir)
        )
        from parley.bootstrap import build  # noqa: PLC0415 - help needs none of it, and no second

        return build(settings)

    @cached_property
    def admin(self) -> "Administration":
        """The operator's use cases on the stack.

        Raises:
            TargetError: it can't be found.
        """
        from parley.bootstrap_admin import administer  # noqa: PLC0415 - as above

        return administer(self.services)

    def confirm(self, question: str) -> None:
        """Ask before what can't be undone.

        Raises:
            NotConfirmedError: the answer isn't yes, or nobody is there to answer.
        """
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise NotConfirmedError("This can't be undone, and nobody can be asked: say --yes.")
        if not typer.confirm(question, err=True):
            raise NotConfirmedError("Nothing has changed.")


def command(
    app: typer.Typer, name: str, *, asks: bool = False
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], None]:
    """Make a coroutine function, whose first parameter is its `Session`, a command of `app`.

    The command has the function's other parameters and the options that all commands have.

    Args:
        asks: whether the function confirms something, so that there is a `--yes`.
    """

    def register(function: Callable[..., Coroutine[Any, Any, None]]) -> None:
        own = list(inspect.signature(function).parameters.values())[1:]
        common = [
            _keyword("stack", Stack, None),
            _keyword("profile", Profile, None),
            _keyword("data_dir", DataDir, target.DEFAULT_DATA_DIR),
            _keyword("as_json", AsJson, default=False),
            *([_keyword("yes", Yes, default=False)] if asks else []),
        ]

        def run(**arguments: Any) -> None:
            given = {parameter.name: arguments.pop(parameter.name) for parameter in own}
            screen = Screen(as_json=arguments.pop("as_json"))
            session = Session(screen=screen, **arguments)
            code = _finish(function(session, **given), screen)
            if code:
                raise typer.Exit(code)

        # Typer passes all by keyword; the order remains that of the command line.
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters += common
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__doc__ = function.__doc__
        app.command(name)(run)

    return register


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _finish(work: Coroutine[Any, Any, None], screen: Screen) -> int:
    """Do the work; say what went wrong in one sentence, and return the exit code."""
    try:
        asyncio.run(work)
    except NotConfirmedError as error:
        screen.complain(str(error))
        return REFUSED
    except (CommandError, target.TargetError) as error:
        screen.complain(str(error))
    except ParleyError as error:
        screen.complain(_with_cause(error))
    except KeyboardInterrupt:
        screen.complain("Interrupted. What was begun can be ended by the same command.")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001 - an operator is told in a sentence, whatever it is
        screen.complain(f"That failed in a way nobody foresaw: {type(error).__name__}: {error}")
    else:
        return 0
    return FAILED


def _with_cause(error: ParleyError) -> str:
    """The error's sentence with what AWS said, which callers aren't told and an operator needs."""
    return f"{error.message} ({error.__cause__})" if error.__cause__ else error.message
