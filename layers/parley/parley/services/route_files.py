"""A tenant's model routes as an operator writes them: JSON, refused with the line that is wrong."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

from parley.domain.addresses import is_internal
from parley.domain.conversations import UNDECIDED, Parameters
from parley.domain.errors import InvalidRequest
from parley.domain.routes import PATIENT, ModelRoute, Price, Routes, TimeLimits
from parley.services import route_values as values
from parley.services.located_json import Node, NotJsonError, parse

T = TypeVar("T")
D = TypeVar("D")

BACK_ENDS = ("bedrock", "openai_compatible", "embedded", "scripted")

LONGEST_DOCUMENT = 100_000
"""Bytes; a tenant is one item of a table and read often."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a line."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class WrongRoutes(InvalidRequest):
    """The text holds no routes that could be used; `mistakes` says why, by line."""

    code = "invalid_routes"

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        super().__init__("\n".join(map(str, self.mistakes)))


def read_routes(text: str) -> dict[str, Routes]:
    """The routes by the name that callers use, in their order.

    Raises:
        WrongRoutes: any of it is wrong.
    """
    if len(text.encode(errors="replace")) > LONGEST_DOCUMENT:
        raise WrongRoutes([Mistake(1, f"It has more than {LONGEST_DOCUMENT} bytes.")])
    try:
        node = parse(text)
    except NotJsonError as error:
        raise WrongRoutes([Mistake(error.line, f"{error.reason}.")]) from error
    mistakes: list[Mistake] = []
    routes = _models(node, mistakes)
    if mistakes:
        raise WrongRoutes(mistakes)
    return routes


def routes_document(models: Mapping[str, Routes]) -> dict[str, list[dict[str, Any]]]:
    """What `read_routes` makes these routes of, as values of JSON."""
    return {
        name: [_written(route) for route in (routes if isinstance(routes, tuple) else (routes,))]
        for name, routes in models.items()
    }


def _written(route: ModelRoute) -> dict[str, Any]:
    """A route without what it leaves at its default."""
    written = {
        field.name: getattr(route, field.name)
        for field in fields(route)
        if getattr(route, field.name) != field.default
    }
    shown: Mapping[str, Callable[[Any], Any]] = {
        "parameters": _stated,
        "prices": lambda prices: [_stated(price) for price in prices],
        "lacks": sorted,
        "limits": _stated,
        "headers": dict,
    }
    written |= {name: show(written[name]) for name, show in shown.items() if name in written}
    url = urlsplit(route.base_url or "")
    if url.scheme == "http" and not is_internal(url.hostname or ""):
        written["allow_http"] = True
    return written


def _stated(value: Parameters | Price | TimeLimits) -> dict[str, Any]:
    return {
        field.name: _value(stated)
        for field in fields(value)
        if (stated := getattr(value, field.name)) != field.default
    }


def _value(stated: object) -> object:
    if isinstance(stated, Decimal):
        return format(stated, "f")  # `str` may write an exponent, which no amount is read with
    return stated if isinstance(stated, int | float | tuple) else str(stated)


class _Fields:
    """An object's fields, each read once; what is wrong is noted and reading goes on."""

    def __init__(self, node: Node, what: str, mistakes: list[Mistake]) -> None:
        self._line = node.line
        self._what = what
        self._mistakes = mistakes
        self._left: dict[str, Node] = {}
        self.is_right = self._is_object = isinstance(node.value, dict)
        if isinstance(node.value, dict):
            self._left = dict(node.value)
        else:
            self.note(f"{what} must be an object.")

    def take(self, key: str, read: Callable[[Node], T], default: D) -> T | D:
        """A field that may be absent."""
        node = self._left.pop(key, None)
        if node is None:
            return default
        try:
            return read(node)
        except values.WrongValueError as error:
            self.note(f"`{key}` {error}", node.line)
            return default

    def need(self, key: str, read: Callable[[Node], T], default: D) -> T | D:
        """A field that must be there; the default stands in where it isn't, or is wrong."""
        if self._is_object and key not in self._left:
            self.note(f"{self._what} needs `{key}`.")
        return self.take(key, read, default)

    def drop_rest(self) -> None:
        """Read no more."""
        self._left = {}

    def end(self) -> None:
        """Note the fields that nobody has read."""
        for key, node in self._left.items():
            self.note(f"{self._what} has no `{key}`.", node.line)

    def note(self, reason: str, line: int | None = None) -> None:
        """Note what is wrong with a line, or with the object's first."""
        self.is_right = False
        self._mistakes.append(Mistake(line or self._line, reason))


def _models(node: Node, mistakes: list[Mistake]) -> dict[str, Routes]:
    if not isinstance(node.value, dict):
        mistakes.append(Mistake(node.line, "The routes must be an object, by model name."))
        return {}
    if not node.value:
        mistakes.append(Mistake(node.line, "There is no model in it."))
    models: dict[str, Routes] = {}
    for name, listed in node.value.items():
        if not re.fullmatch(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}", name) or name != name.strip():
            mistakes.append(Mistake(listed.line, f"{name!r} is no name of a model."))
        if not isinstance(listed.value, list) or not listed.value:
            reason = f"`{name}` must be a list of one route or more, in the order to try them."
            mistakes.append(Mistake(listed.line, reason))
            continue
        routes = [_route(each, mistakes) for each in listed.value]
        _refuse_twins(listed.value, routes, mistakes)
        models[name] = tuple(routes) if len(routes) > 1 else routes[0]
    return models


def _refuse_twins(
    nodes: Sequence[Node], routes: Sequence[ModelRoute], mistakes: list[Mistake]
) -> None:
    """Two routes to one model that are called alike couldn't be told apart in the ledger."""
    lines: dict[str, int] = {}
    for node, route in zip(nodes, routes, strict=True):
        before = lines.get(route.label)
        if before is not None and route.backend:
            reason = f"This route is called `{route.label}` like that of line {before}; name them."
            mistakes.append(Mistake(node.line, reason))
        lines.setdefault(route.label, node.line)


def _route(node: Node, mistakes: list[Mistake]) -> ModelRoute:
    fields = _Fields(node, "A route", mistakes)
    backend = fields.need("backend", values.one_of(*BACK_ENDS), "")
    if not backend:
        fields.drop_rest()
        return ModelRoute("", "")
    common: dict[str, Any] = {
        "backend": backend,
        "model": fields.need("model", values.visible(256), ""),
        "name": fields.take("name", values.visible(100), None),
        "parameters": fields.take("parameters", lambda at: _parameters(at, mistakes), UNDECIDED),
        "prices": fields.take("prices", lambda at: _prices(at, mistakes), ()),
        "lacks": fields.take("lacks", values.abilities, frozenset()),
    }
    own = _OWN.get(backend)
    route = ModelRoute(**common, **(own(fields, mistakes) if own else {}))
    for ability in sorted(route.lacks):
        if getattr(route.parameters, ability, None) is not None:
            fields.note(f"`parameters` has the `{ability}` that the model lacks.")
    fields.end()
    return route


def _of_remote(fields: _Fields, mistakes: list[Mistake]) -> dict[str, Any]:
    return {
        "context_window": fields.need("context_window", values.whole(1, 100_000_000), None),
        "limits": fields.take("limits", lambda at: _limits(at, mistakes), PATIENT),
    }


def _of_bedrock(fields: _Fields, mistakes: list[Mistake]) -> dict[str, Any]:
    return {
        **_of_remote(fields, mistakes),
        "region": fields.take("region", values.region, None),
        "streaming": fields.take("streaming", values.flag, True),  # noqa: FBT003 - the value it has
    }


def _of_server(fields: _Fields, mistakes: list[Mistake]) -> dict[str, Any]:
    plain = fields.take("allow_http", values.flag, False)  # noqa: FBT003 - the value it has
    fields_of_server = _of_remote(fields, mistakes)
    return {
        **fields_of_server,
        "base_url": fields.need("base_url", lambda at: values.base_url(at, plain=plain), None),
        "secret": fields.take("secret", values.secret_name, None),
        "headers": fields.take("headers", values.headers, ()),
        "max_tokens_field": fields.take(
            "max_tokens_field", values.one_of("max_tokens", "max_completion_tokens"), "max_tokens"
        ),
    }


_OWN: Mapping[str, Callable[[_Fields, list[Mistake]], dict[str, Any]]] = {
    "bedrock": _of_bedrock,
    "openai_compatible": _of_server,
}
"""What only routes to some back ends have."""


def _parameters(node: Node, mistakes: list[Mistake]) -> Parameters:
    fields = _Fields(node, "`parameters`", mistakes)
    read = Parameters(
        temperature=fields.take("temperature", values.number(0, 2), None),
        top_p=fields.take("top_p", values.number(0, 1), None),
        max_tokens=fields.take("max_tokens", values.whole(1, 100_000_000), None),
        seed=fields.take("seed", values.whole(-(2**53) + 1, 2**53 - 1), None),
        stop=fields.take("stop", values.stop, ()),
        frequency_penalty=fields.take("frequency_penalty", values.number(-2, 2), None),
        presence_penalty=fields.take("presence_penalty", values.number(-2, 2), None),
    )
    fields.end()
    return read


def _limits(node: Node, mistakes: list[Mistake]) -> TimeLimits:
    fields = _Fields(node, "`limits`", mistakes)
    read = TimeLimits(
        connect=fields.take("connect", values.seconds, PATIENT.connect),
        first_token=fields.take("first_token", values.seconds, PATIENT.first_token),
        between_tokens=fields.take("between_tokens", values.seconds, PATIENT.between_tokens),
    )
    fields.end()
    return read


def _prices(node: Node, mistakes: list[Mistake]) -> tuple[Price, ...]:
    if not isinstance(node.value, list) or not node.value:
        raise values.WrongValueError("must be a list of one price or more.")
    lines: dict[date, int] = {}
    prices: list[Price] = []
    for each in node.value:
        fields = _Fields(each, "A price", mistakes)
        price = Price(
            since=fields.need("since", values.day, date.min),
            prompt=fields.need("prompt", values.amount, Decimal(0)),
            completion=fields.need("completion", values.amount, Decimal(0)),
            cached_prompt=fields.take("cached_prompt", values.amount, None),
        )
        fields.end()
        if fields.is_right and price.since in lines:
            fields.note(f"There is a price since {price.since} in line {lines[price.since]}.")
        if fields.is_right and price.cached_prompt and price.cached_prompt > price.prompt:
            fields.note("`cached_prompt` must not be more than `prompt`.")
        lines.setdefault(price.since, each.line)
        prices.append(price)
    return tuple(prices)
