"""The values that routes are written with: each function reads one, or says what it must be."""

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from parley.domain.abilities import ABILITIES
from parley.domain.addresses import is_ambiguous, is_internal, is_metadata_address
from parley.domain.routes import SECRET_NAME
from parley.services.located_json import Node

LONGEST_WAIT = 900
"""Seconds; no function lives longer."""

_OF_THE_ADAPTER = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host"}
    | {"transfer-encoding"}
)
"""Headers that say how the request itself is sent."""


class WrongValueError(Exception):
    """A value is wrong; the message goes on from the name of its key."""


def one_of(*allowed: str) -> Callable[[Node], Any]:
    """One of some words."""

    def read(node: Node) -> str:
        if not isinstance(node.value, str) or node.value not in allowed:
            raise WrongValueError(f"must be one of {', '.join(allowed)}.")
        return node.value

    return read


def visible(longest: int) -> Callable[[Node], Any]:
    """Visible ASCII of at most so many characters."""

    def read(node: Node) -> str:
        if not isinstance(node.value, str) or not re.fullmatch(r"[!-~]+", node.value):
            raise WrongValueError(
                "must be text of letters, digits and signs of ASCII, without spaces."
            )
        if len(node.value) > longest:
            raise WrongValueError(f"must have {longest} characters at most.")
        return node.value

    return read


def whole(least: int, most: int) -> Callable[[Node], Any]:
    """A whole number in a range, both ends included."""

    def read(node: Node) -> int:
        value = node.value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise WrongValueError(f"must be a whole number from {least} to {most}.")
        return value

    return read


def number(least: int, most: int) -> Callable[[Node], Any]:
    """A number in a range, both ends included."""

    def read(node: Node) -> float:
        value = node.value
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            raise WrongValueError("must be a number.")
        if not least <= value <= most:
            raise WrongValueError(f"must be from {least} to {most}.")
        return float(value)

    return read


def seconds(node: Node) -> float:
    """A time to wait, more than none."""
    seconds: float = number(0, LONGEST_WAIT)(node)
    if not seconds > 0 or not math.isfinite(seconds):
        raise WrongValueError("must be more than 0 seconds.")
    return seconds


def amount(node: Node) -> Decimal:
    """Dollars for a million tokens."""
    value = node.value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", value):
        value = Decimal(value)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise WrongValueError("must be dollars for a million tokens, such as 0.25.")
    if value < 0:
        raise WrongValueError("must not be negative.")
    if value > 1_000_000 or value != round(Decimal(value), 9):
        raise WrongValueError("must be at most 1000000, with 9 decimal places at most.")
    return Decimal(value)


def day(node: Node) -> date:
    """A day of the calendar."""
    if isinstance(node.value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", node.value):
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            pass
    raise WrongValueError("must be a day, such as 2026-01-31.")


def flag(node: Node) -> bool:
    """True or false."""
    if not isinstance(node.value, bool):
        raise WrongValueError("must be true or false.")
    return node.value


def stop(node: Node) -> tuple[str, ...]:
    """Stop sequences."""
    return tuple(_texts(node, bool, "texts, none of them empty"))


def abilities(node: Node) -> frozenset[str]:
    """Names of `ABILITIES`."""
    allowed = f"names out of {', '.join(ABILITIES)}"
    return frozenset(_texts(node, lambda text: text in ABILITIES, allowed))


def _texts(node: Node, fits: Callable[[str], object], what: str) -> list[str]:
    values = [each.value for each in node.value] if isinstance(node.value, list) else [None]
    texts = [value for value in values if isinstance(value, str) and fits(value)]
    if len(texts) < len(values):
        raise WrongValueError(f"must be a list of {what}.")
    return texts


def region(node: Node) -> str | None:
    """A region of AWS."""
    if not isinstance(node.value, str) or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", node.value):
        raise WrongValueError("must be a region of AWS, such as eu-central-1.")
    return node.value


def secret_name(node: Node) -> str | None:
    """A secret's name, behind the deployment's prefix."""
    if not isinstance(node.value, str) or not SECRET_NAME.fullmatch(node.value):
        raise WrongValueError("must be the name of a secret, behind the deployment's prefix.")
    return node.value


def headers(node: Node) -> tuple[tuple[str, str], ...]:
    """Headers that a request may be sent with."""
    if not isinstance(node.value, dict):
        raise WrongValueError("must be an object of texts.")
    found: list[tuple[str, str]] = []
    for name, at in node.value.items():
        if name.lower() == "authorization":
            raise WrongValueError("must not have `Authorization`: keep the key in a `secret`.")
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or name.lower() in _OF_THE_ADAPTER:
            raise WrongValueError(f"can't have {name!r}.")
        if not isinstance(at.value, str) or not re.fullmatch(
            r"[!-~]([ -~]{0,1000}[!-~])?", at.value
        ):
            raise WrongValueError(f"has no text of ASCII as its {name!r}.")
        found.append((name, at.value))
    return tuple(found)


def base_url(node: Node, *, plain: bool) -> str | None:
    """A URL that conversations may be sent to."""
    text = node.value
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]{1,1000}", text):
        raise WrongValueError("must be a URL.")
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise WrongValueError("must be a URL.") from error
    if url.scheme not in {"http", "https"} or not host:
        raise WrongValueError("must begin with https:// or http:// and a host.")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise WrongValueError(
            "must have no user, no question mark and no #: keep a key in a `secret`."
        )
    if is_metadata_address(host):
        raise WrongValueError("must not lead to link-local addresses, where credentials are told.")
    if is_ambiguous(host):
        raise WrongValueError("must have a name or an address in its usual form.")
    if url.scheme == "http" and not plain and not is_internal(host):
        raise WrongValueError(
            "sends a key and conversations over the internet where everybody can read them; use "
            'https://, or say "allow_http": true.'
        )
    return text
