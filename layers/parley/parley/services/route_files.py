"""A tenant's model routes as an operator writes them: JSON, refused with the line that is wrong."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

from parley.domain.abilities import ABILITIES
from parley.domain.addresses import is_ambiguous, is_internal, is_metadata_address
from parley.domain.conversations import UNDECIDED, Parameters
from parley.domain.errors import InvalidRequest
from parley.domain.routes import PATIENT, SECRET_NAME, ModelRoute, Price, Routes, TimeLimits
from parley.services.located_json import Node, NotJsonError, parse

T = TypeVar("T")
D = TypeVar("D")

BACK_ENDS = ("bedrock", "openai_compatible", "embedded", "scripted")

LONGEST_DOCUMENT = 100_000
"""Bytes; a tenant is one item of a table and read often."""

LONGEST_WAIT = 900
"""Seconds; no function lives longer."""

_OF_THE_ADAPTER = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host"}
    | {"transfer-encoding"}
)
"""Headers that say how the request itself is sent."""


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
        field.name: stated if isinstance(stated, int | float | tuple) else str(stated)
        for field in fields(value)
        if (stated := getattr(value, field.name)) != field.default
    }


class _WrongError(Exception):
    """A value is wrong; the message goes on from the name of its key."""


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
        except _WrongError as error:
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
        before = lines.setdefault(route.label, node.line)
        if before != node.line and route.backend:
            reason = f"This route is called `{route.label}` like that of line {before}; name them."
            mistakes.append(Mistake(node.line, reason))


def _route(node: Node, mistakes: list[Mistake]) -> ModelRoute:
    fields = _Fields(node, "A route", mistakes)
    backend = fields.need("backend", _one_of(*BACK_ENDS), "")
    if not backend:
        fields.drop_rest()
        return ModelRoute("", "")
    common: dict[str, Any] = {
        "backend": backend,
        "model": fields.need("model", _visible(256), ""),
        "name": fields.take("name", _visible(100), None),
        "parameters": fields.take("parameters", lambda at: _parameters(at, mistakes), UNDECIDED),
        "prices": fields.take("prices", lambda at: _prices(at, mistakes), ()),
        "lacks": fields.take("lacks", _lacks, frozenset()),
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
        "context_window": fields.need("context_window", _whole(1, 100_000_000), None),
        "limits": fields.take("limits", lambda at: _limits(at, mistakes), PATIENT),
    }


def _of_bedrock(fields: _Fields, mistakes: list[Mistake]) -> dict[str, Any]:
    return {
        **_of_remote(fields, mistakes),
        "region": fields.take("region", _region, None),
        "streaming": fields.take("streaming", _flag, True),  # noqa: FBT003 - the value it has
    }


def _of_server(fields: _Fields, mistakes: list[Mistake]) -> dict[str, Any]:
    plain = fields.take("allow_http", _flag, False)  # noqa: FBT003 - the value it has
    fields_of_server = _of_remote(fields, mistakes)
    return {
        **fields_of_server,
        "base_url": fields.need("base_url", lambda at: _base_url(at, plain=plain), None),
        "secret": fields.take("secret", _secret, None),
        "headers": fields.take("headers", _headers, ()),
        "max_tokens_field": fields.take(
            "max_tokens_field", _one_of("max_tokens", "max_completion_tokens"), "max_tokens"
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
        temperature=fields.take("temperature", _number(0, 2), None),
        top_p=fields.take("top_p", _number(0, 1), None),
        max_tokens=fields.take("max_tokens", _whole(1, 100_000_000), None),
        seed=fields.take("seed", _whole(-(2**53) + 1, 2**53 - 1), None),
        stop=fields.take("stop", _stop, ()),
        frequency_penalty=fields.take("frequency_penalty", _number(-2, 2), None),
        presence_penalty=fields.take("presence_penalty", _number(-2, 2), None),
    )
    fields.end()
    return read


def _limits(node: Node, mistakes: list[Mistake]) -> TimeLimits:
    fields = _Fields(node, "`limits`", mistakes)
    read = TimeLimits(
        connect=fields.take("connect", _seconds, PATIENT.connect),
        first_token=fields.take("first_token", _seconds, PATIENT.first_token),
        between_tokens=fields.take("between_tokens", _seconds, PATIENT.between_tokens),
    )
    fields.end()
    return read


def _prices(node: Node, mistakes: list[Mistake]) -> tuple[Price, ...]:
    if not isinstance(node.value, list) or not node.value:
        raise _WrongError("must be a list of one price or more.")
    lines: dict[date, int] = {}
    prices: list[Price] = []
    for each in node.value:
        fields = _Fields(each, "A price", mistakes)
        price = Price(
            since=fields.need("since", _date, date.min),
            prompt=fields.need("prompt", _amount, Decimal(0)),
            completion=fields.need("completion", _amount, Decimal(0)),
            cached_prompt=fields.take("cached_prompt", _amount, None),
        )
        fields.end()
        if fields.is_right and price.since in lines:
            fields.note(f"There is a price since {price.since} in line {lines[price.since]}.")
        if fields.is_right and price.cached_prompt and price.cached_prompt > price.prompt:
            fields.note("`cached_prompt` must not be more than `prompt`.")
        lines.setdefault(price.since, each.line)
        prices.append(price)
    return tuple(prices)


# Single values ---------------------------------------------------------------------------------


def _one_of(*allowed: str) -> Callable[[Node], Any]:
    def read(node: Node) -> str:
        if not isinstance(node.value, str) or node.value not in allowed:
            raise _WrongError(f"must be one of {', '.join(allowed)}.")
        return node.value

    return read


def _visible(longest: int) -> Callable[[Node], Any]:
    def read(node: Node) -> str:
        if not isinstance(node.value, str) or not re.fullmatch(r"[!-~]+", node.value):
            raise _WrongError("must be text of letters, digits and signs of ASCII, without spaces.")
        if len(node.value) > longest:
            raise _WrongError(f"must have {longest} characters at most.")
        return node.value

    return read


def _whole(least: int, most: int) -> Callable[[Node], Any]:
    def read(node: Node) -> int:
        value = node.value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _WrongError(f"must be a whole number from {least} to {most}.")
        return value

    return read


def _number(least: int, most: int) -> Callable[[Node], Any]:
    def read(node: Node) -> float:
        value = node.value
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            raise _WrongError("must be a number.")
        if not least <= value <= most:
            raise _WrongError(f"must be from {least} to {most}.")
        return float(value)

    return read


def _seconds(node: Node) -> float:
    seconds: float = _number(0, LONGEST_WAIT)(node)
    if not seconds > 0 or not math.isfinite(seconds):
        raise _WrongError("must be more than 0 seconds.")
    return seconds


def _amount(node: Node) -> Decimal:
    value = node.value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", value):
        value = Decimal(value)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise _WrongError("must be dollars for a million tokens, such as 0.25.")
    if value < 0:
        raise _WrongError("must not be negative.")
    if value > 1_000_000 or value != round(Decimal(value), 9):
        raise _WrongError("must be at most 1000000, with 9 decimal places at most.")
    return Decimal(value)


def _date(node: Node) -> date:
    if isinstance(node.value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", node.value):
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            pass
    raise _WrongError("must be a day, such as 2026-01-31.")


def _flag(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise _WrongError("must be true or false.")
    return node.value


def _stop(node: Node) -> tuple[str, ...]:
    return tuple(_texts(node, bool, "texts, none of them empty"))


def _lacks(node: Node) -> frozenset[str]:
    allowed = f"names out of {', '.join(ABILITIES)}"
    return frozenset(_texts(node, lambda text: text in ABILITIES, allowed))


def _texts(node: Node, fits: Callable[[str], object], what: str) -> list[str]:
    values = [each.value for each in node.value] if isinstance(node.value, list) else [None]
    texts = [value for value in values if isinstance(value, str) and fits(value)]
    if len(texts) < len(values):
        raise _WrongError(f"must be a list of {what}.")
    return texts


def _region(node: Node) -> str | None:
    if not isinstance(node.value, str) or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", node.value):
        raise _WrongError("must be a region of AWS, such as eu-central-1.")
    return node.value


def _secret(node: Node) -> str | None:
    if not isinstance(node.value, str) or not SECRET_NAME.fullmatch(node.value):
        raise _WrongError("must be the name of a secret, behind the deployment's prefix.")
    return node.value


def _headers(node: Node) -> tuple[tuple[str, str], ...]:
    if not isinstance(node.value, dict):
        raise _WrongError("must be an object of texts.")
    found: list[tuple[str, str]] = []
    for name, at in node.value.items():
        if name.lower() == "authorization":
            raise _WrongError("must not have `Authorization`: keep the key in a `secret`.")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or name.lower() in _OF_THE_ADAPTER:
            raise _WrongError(f"can't have {name!r}.")
        if not isinstance(at.value, str) or not re.fullmatch(
            r"[!-~]([ -~]{0,1000}[!-~])?", at.value
        ):
            raise _WrongError(f"has no text of ASCII as its {name!r}.")
        found.append((name, at.value))
    return tuple(found)


def _base_url(node: Node, *, plain: bool) -> str | None:
    text = node.value
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]{1,1000}", text):
        raise _WrongError("must be a URL.")
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise _WrongError("must be a URL.") from error
    if url.scheme not in {"http", "https"} or not host:
        raise _WrongError("must begin with https:// or http:// and a host.")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise _WrongError("must have no user, no question mark and no #: keep a key in a `secret`.")
    if is_metadata_address(host):
        raise _WrongError("must not lead to link-local addresses, where credentials are told.")
    if is_ambiguous(host):
        raise _WrongError("must have a name or an address in its usual form.")
    if url.scheme == "http" and not plain and not is_internal(host):
        raise _WrongError(
            "sends a key and conversations over the internet where everybody can read them; use "
            'https://, or say "allow_http": true.'
        )
    return text
