"""What commands are given: names, times and files."""

import json
import re
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from admin.session import CommandError
from parley.services.administration.changes import Value

T = TypeVar("T", bound=BaseModel)

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,5})([mhd])")


def duration(text: str) -> timedelta:
    """A time such as `30m`, `24h` or `90d`.

    Raises:
        BadParameter: it is no such text.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("a time is a number and m, h or d, such as 24h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def day(text: str) -> date:
    """A day such as `2026-03-01`.

    Raises:
        BadParameter: it is no such text.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a day is written like 2026-03-01") from None


def limit_changes(given: list[str]) -> dict[str, Value]:
    """Changes of limits such as `requests_per_minute=600`, `budget=25.00` or `budget=none`.

    Raises:
        CommandError: one is no such text.
    """
    changes: dict[str, Value] = {}
    for change in given:
        name, _, value = change.partition("=")
        try:
            changes[name] = None if value == "none" else _number(value)
        except ArithmeticError as error:
            raise CommandError(
                f"{change} is no limit: it is a name and a number, or none, such as budget=25.00."
            ) from error
    return changes


def rule_changes(given: list[str]) -> dict[str, bool]:
    """Changes of rules such as `one_at_a_time=on`.

    Raises:
        CommandError: one is no such text.
    """
    changes: dict[str, bool] = {}
    for change in given:
        name, _, value = change.partition("=")
        if value not in {"on", "off"}:
            raise CommandError(
                f"{change} is no rule: it is a name and on or off, such as one_at_a_time=on."
            )
        changes[name] = value == "on"
    return changes


def _number(text: str) -> int | Decimal:
    return int(text) if text.isascii() and text.isdecimal() else Decimal(text)


def read_text(path: Path) -> str:
    """The text of a file; `-` is standard input.

    Raises:
        CommandError: it can't be read.
    """
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} isn't UTF-8.") from error
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from error


def read_document(path: Path, form: type[T]) -> T:
    """The JSON document in a file; `-` is standard input.

    Raises:
        CommandError: it can't be read, or isn't of this form; every mistake is named.
    """
    text = read_text(path)
    try:
        return form.model_validate(json.loads(text))
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'all of it'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise CommandError(f"{path} was not taken: {mistakes}.") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} isn't JSON: {error}.") from error


LimitChanges = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[LIMIT=NUMBER]...",
        show_default=False,
        help="Such as requests_per_minute=600 or budget=25.00; none lifts one; the others stay.",
    ),
]
RuleChanges = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RULE=on|off]...",
        show_default=False,
        help="Such as one_at_a_time=on; the others stay.",
    ),
]
TenantId = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
RoutesFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        allow_dash=True,
        help="Routes by model name; the first is default. - reads them.",
    ),
]
User = Annotated[str, typer.Argument(metavar="USER", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False)]
PersonaName = Annotated[
    str, typer.Argument(metavar="PERSONA", show_default=False, help="Its alias, or its number.")
]
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", show_default=False, allow_dash=True, help="A JSON document; - reads it."
    ),
]
