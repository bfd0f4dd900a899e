"""Limits as an operator changes them: some by name, the others stay."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from parley.domain.errors import InvalidRequest
from parley.domain.tenants import KeyLimits, Limits

BUDGET = "budget"
"""US dollars a month; every other limit is a whole number."""

Value = int | Decimal | None
"""What a limit is changed to; None lifts it."""

_SMALLEST = Decimal("0.000001")
_ENDLESS = 1_000_000_000
"""US dollars; a budget has to be less, so that the store can count it exactly."""

_LARGEST = 2**53 - 1
"""Of every other limit, as every JSON reader keeps it exact."""

L = TypeVar("L", Limits, KeyLimits)


def limits_changed(limits: L, changes: Mapping[str, Value]) -> L:
    """Limits of which some are changed.

    Raises:
        InvalidRequest: there is no limit of a name, or it can't be of that value; it is named.
    """
    defaults = {field.name: field.default for field in fields(limits)}
    for name, value in changes.items():
        if name not in defaults:
            raise InvalidRequest(
                f"There is no limit {name}; there are {', '.join(defaults)}.", param=name
            )
        if value is None:
            if defaults[name] is not None:
                raise InvalidRequest(f"{name} can't be lifted.", param=name)
        else:
            check_value(name, value)
    values: dict[str, Any] = dict(changes)
    if values.get(BUDGET) is not None:
        values[BUDGET] = Decimal(values[BUDGET])
    return replace(limits, **values)


def check_value(name: str, value: int | Decimal) -> None:
    """Let pass what a limit of this name can be.

    Raises:
        InvalidRequest: it can't be that.
    """
    if name == BUDGET:
        amount = Decimal(value)
        if not amount.is_finite() or not 0 <= amount < _ENDLESS or amount % _SMALLEST:
            raise InvalidRequest(
                "budget is an amount in US dollars, 0 or more and less than "
                f"{_ENDLESS:,}, with up to six decimal places.",
                param=name,
            )
    elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise InvalidRequest(f"{name} is a whole number from 0 to at most {_LARGEST}.", param=name)


def limits_document(limits: Limits | KeyLimits) -> dict[str, Any]:
    """Limits by name; an amount is text, which keeps it exact."""
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in asdict(limits).items()
    }
