"""Tables for a terminal."""

import math
from collections.abc import Sequence

Cell = str | int | float


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]], *notes: str) -> str:
    """A titled table: numbers to the right, fractions with three significant digits, then notes."""
    cells = [list(header), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    is_number = [
        all(not isinstance(row[column], str) for row in rows) for column in range(len(header))
    ]

    def line(row: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, "", line(cells[0]), rule, *map(line, cells[1:]), *notes, ""])


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        if math.isnan(cell):  # it couldn't be measured here
            return "-"
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell
