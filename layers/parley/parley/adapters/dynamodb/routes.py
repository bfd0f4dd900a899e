"""Routes to models as JSON values, and back.

What a route leaves at its default is left out, so a deployment reads what an older one wrote.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from parley.domain.conversations import Parameters
from parley.domain.routes import ModelRoute, Price, Routes, TimeLimits

Json = Any
"""What `json` reads and writes."""


def from_routes(routes: Routes) -> Json:
    """An object for a route that stands alone, a list for several."""
    if isinstance(routes, tuple):
        return [_stated(route) for route in routes]
    return _stated(routes)


def to_routes(value: Json) -> Routes:
    """The routes that `from_routes` made this of."""
    if isinstance(value, list):
        return tuple(_route(route) for route in value)
    return _route(value)


def _stated(value: object) -> Json:
    match value:
        case ModelRoute() | Price() | TimeLimits() | Parameters():
            return {
                field.name: _stated(stated)
                for field in fields(value)
                if (stated := getattr(value, field.name)) != field.default
            }
        case tuple():
            return [_stated(each) for each in value]
        case frozenset():
            return sorted(value)
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
    return value


def _route(value: Mapping[str, Json]) -> ModelRoute:
    stated = dict(value)
    for name, read in _READ.items():
        if name in stated:
            stated[name] = read(stated[name])
    return ModelRoute(**stated)


def _parameters(value: Mapping[str, Json]) -> Parameters:
    stated = dict(value)
    if "stop" in stated:
        stated["stop"] = tuple(stated["stop"])
    return Parameters(**stated)


def _price(value: Mapping[str, str]) -> Price:
    amounts = {name: Decimal(text) for name, text in value.items() if name != "since"}
    return Price(since=date.fromisoformat(value["since"]), **amounts)


_READ: Mapping[str, Callable[[Json], object]] = {
    "parameters": _parameters,
    "prices": lambda prices: tuple(_price(price) for price in prices),
    "lacks": frozenset,
    "limits": lambda limits: TimeLimits(**limits),
    "headers": lambda headers: tuple((name, value) for name, value in headers),
}
"""How to read what JSON has no word for, by the route's field."""
