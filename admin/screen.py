"""What the program says: tables and sentences to a person, JSON to a script."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

WIDE = 10_000
"""Columns where no terminal bounds them: nothing that is piped is cut off or wrapped."""


class Screen:
    """Standard output for what was asked for, standard error for everything else."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)

    def rows(
        self, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, empty: str
    ) -> None:
        """Show a list.

        Args:
            columns: what a table shows of a row: the headings by the names of the values.
            rows: JSON has all of their values.
            empty: what a person is told instead of an empty table.
        """
        if self._as_json:
            self._dump(list(rows))
        elif not rows:
            self._out.print(empty, highlight=False)
        else:
            self.table(columns, rows)

    def table(self, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Show a table, whether or not anybody wants JSON."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for name, heading in columns.items():
            is_number = all(isinstance(row[name], int | Decimal) for row in rows)
            table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_told(row[name])) for name in columns))
        self._out.print(table)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Show one thing, by the names of what is to be known of it."""
        if self._as_json:
            self._dump(facts)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(name.replace("_", " "), Text(_told(value)))
        self._out.print(table)

    def document(self, value: Any) -> None:
        """Show what is JSON by nature."""
        self._dump(value)

    def line(self, value: Any) -> None:
        """Write one line of JSON."""
        sys.stdout.write(compact(value) + "\n")

    def say(self, sentence: str, **facts: Any) -> None:
        """Tell a person what was done; a script is told the facts."""
        if self._as_json:
            self._dump(facts)
        else:
            self._out.print(Text(sentence))

    def remark(self, sentence: str) -> None:
        """Tell a person what the answer itself doesn't say."""
        if not self._as_json:
            self._err.print(Text(sentence, style="dim"))

    def report(self, report: Mapping[str, Any], groups: Sequence[str]) -> None:
        """Show a report: its `rows`, named by their groups, and their `total`."""
        if self._as_json:
            self._dump(report)
            return
        rows, total = report["rows"], report["total"]
        named = [row | {group: row[group] or "(none)" for group in groups} for row in rows]
        headings = {name: name.replace("_", " ") for name in (*groups, *total)}
        sums = dict.fromkeys(groups, "") | ({groups[0]: "total"} if groups else {}) | total
        self.table(headings, [*named, sums])

    def complain(self, sentence: str) -> None:
        """Say why something wasn't done."""
        self._err.print(Text(sentence))

    @contextmanager
    def progress(self, doing: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show how far something long has come, on a terminal; yields what tells how much more."""
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
        with Progress(
            *columns,
            MofNCompleteColumn(),
            console=self._err,
            transient=True,
            disable=not self._err.is_terminal,
        ) as progress:
            task = progress.add_task(doing, total=total)
            yield lambda more: progress.update(task, advance=more)

    def _dump(self, value: Any) -> None:
        json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
        sys.stdout.write("\n")


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _console(stream: Any) -> Console:
    return Console(file=stream, width=None if stream.isatty() else WIDE, highlight=False)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _told(value: Any) -> str:
    match value:
        case None | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case list():
            return ", ".join(map(_told, value))
        case dict():
            return ", ".join(f"{name} {_told(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
