"""Log lines: one JSON object each, whatever is in it and whoever wrote it.

A line says where and what, never what people said: an exception is told as its type and the places
it came through, since its text may quote what it stumbled over.
"""

import copy
import json
import logging
import sys
import traceback
from functools import partial
from types import TracebackType
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from parley.telemetry.spans import bound, name_deployment

OURS = "parley"
LONGEST_FOREIGN_MESSAGE = 300
"""Characters kept of what a library says."""

_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
_LAMBDAS_OWN = "LambdaLoggerHandler"


class LineFormatter(LambdaPowertoolsFormatter):
    """A record as one line of ASCII, with the fields of the task that wrote it."""

    def __init__(self) -> None:
        # ASCII, because some readers take other characters than \n for the end of a line, too.
        dumps = partial(json.dumps, separators=(",", ":"), ensure_ascii=True, default=_nameless)
        super().__init__(json_serializer=dumps, utc=True, service=OURS)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the line break at its end."""
        shown = copy.copy(record)  # other handlers have the original
        shown.__dict__ = {**bound(), **record.__dict__, "taskName": None}
        if record.exc_info and record.exc_info[1] is not None:
            raised = record.exc_info[1]
            shown.__dict__ |= {"exception_name": type(raised).__name__, "exception": story(raised)}
        shown.exc_info = shown.exc_text = shown.stack_info = None
        if not is_ours(record):
            shown.__dict__["logger"] = record.name
            # Behind the first line some quote the objects they speak of.
            first, *_ = record.getMessage().splitlines() or [""]
            shown.msg, shown.args = first[:LONGEST_FOREIGN_MESSAGE], ()
        return super().format(shown)


def story(raised: BaseException) -> list[str]:
    """What was raised and where, outermost call first, then what caused it; no texts."""
    told: list[str] = []
    each: BaseException | None = raised
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        told += [type(each).__name__, *_places(each.__traceback__)]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return told


def is_ours(record: logging.LogRecord) -> bool:
    """Whether the record is Parley's own, not a library's."""
    return record.name.partition(".")[0] == OURS


def set_up(*, level: str, deployment: str) -> None:
    """Have everything that is logged in this process written to standard output as lines.

    Where the process was given a handler of its own for what libraries log, that is left to it.

    Args:
        level: of Parley's own lines; of libraries' only warnings and errors are written.
    """
    name_deployment(deployment)
    Logger(service=OURS, level=level, logger_formatter=LineFormatter())
    # Metrics are made of these lines, whatever else is to be logged.
    logging.getLogger("parley.telemetry").setLevel(logging.INFO)
    root = logging.getLogger()
    if all(type(handler).__name__ == _LAMBDAS_OWN for handler in root.handlers):
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(LineFormatter())
        handler.addFilter(_is_foreign)
        root.handlers[:] = [handler]
        root.setLevel(logging.WARNING)
        for name in _SERVERS:
            server = logging.getLogger(name)
            if server.handlers:
                server.handlers.clear()
                server.propagate = True


def _is_foreign(record: logging.LogRecord) -> bool:
    return not is_ours(record)


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
    ]


def _nameless(value: Any) -> str:
    """What stands for a value that JSON doesn't know: its type, since its text may say anything."""
    return f"<{type(value).__name__}>"
