"""Metrics in CloudWatch's embedded format: members of a log line that CloudWatch makes metrics of.

Each name costs money for each combination of dimensions it appears with, so there are few of both,
and what a dimension's value can be is up to the operator, never to a caller.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

NAMESPACE: Final = "Parley"

UNITS: Final[Mapping[str, str]] = {
    "Requests": "Count",
    "Errors": "Count",
    "ServerErrors": "Count",
    "Latency": "Milliseconds",
    "LimitsHit": "Count",
    "Turns": "Count",
    "FailedTurns": "Count",
    "TimeToFirstToken": "Milliseconds",
    "InputTokens": "Count",
    "OutputTokens": "Count",
    "StoreLatency": "Milliseconds",
    "BudgetUsed": "Percent",
    "BudgetRefusals": "Count",
}
"""Every metric there is; docs/observe.md says what each means."""

OF_THE_STACK: Final = frozenset({"BudgetUsed", "BudgetRefusals"})
"""Those that are kept for the deployment alone, whatever they were measured during."""

MOST_VALUES = 100
"""Of one metric in one line; CloudWatch takes no more."""


def embedded(
    measured: Mapping[str, Sequence[float]],
    dimensions: Mapping[str, str],
    sets: Iterable[Sequence[str]],
    *,
    error: str | None = None,
) -> dict[str, Any]:
    """The members of a line that make these measurements metrics; none where there are none.

    Args:
        measured: values by the metrics' names, at most `MOST_VALUES` of each.
        dimensions: their values by name, as far as `sets` name them.
        sets: the combinations of dimensions that every metric is kept by.
        error: the class that what is in `Errors` is kept by as well.
    """
    if not measured:
        return {}
    wide = [name for name in measured if name in OF_THE_STACK]
    kept = [([name for name in measured if name not in OF_THE_STACK], sets), (wide, [["Stack"]])]
    if error is not None:
        kept.append((["Errors"], [["Stack", "Error"]]))
        dimensions = {**dimensions, "Error": error}
    directives = [_directive(names, by) for names, by in kept if names]
    values = {
        name: values[0] if len(values) == 1 else list(values) for name, values in measured.items()
    }
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directives}
    return {**dimensions, **values, "_aws": about}


def _directive(names: Iterable[str], sets: Iterable[Sequence[str]]) -> dict[str, Any]:
    return {
        "Namespace": NAMESPACE,
        "Dimensions": [list(each) for each in sets],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in names],
    }
