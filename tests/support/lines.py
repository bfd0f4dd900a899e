"""The lines that code under test logs, as a deployment would write them."""

import io
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from parley.telemetry.logs import LineFormatter


class Lines:
    """All that was logged; of libraries, warnings and errors."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    @classmethod
    @contextmanager
    def taken(cls) -> "Generator[Lines, None, None]":
        """Take what is logged during a block, of Parley's own at every level."""
        lines = cls()
        handler = logging.StreamHandler(lines._stream)
        handler.setFormatter(LineFormatter())
        root, ours, telemetry = map(logging.getLogger, ("", "parley", "parley.telemetry"))
        levels = [logger.level for logger in (root, ours, telemetry)]
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
        ours.setLevel(logging.DEBUG)
        telemetry.setLevel(logging.INFO)
        try:
            yield lines
        finally:
            root.removeHandler(handler)
            for logger, level in zip((root, ours, telemetry), levels, strict=True):
                logger.setLevel(level)

    @property
    def text(self) -> str:
        """The lines as they are written."""
        return self._stream.getvalue()

    @property
    def all(self) -> list[dict[str, Any]]:
        """The lines as what they say."""
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Those of one kind of span."""
        return [line for line in self.all if line.get("span_kind") == kind]
