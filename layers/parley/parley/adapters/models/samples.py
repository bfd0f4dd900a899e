"""Small values that fit a JSON Schema: what a model says that must say something of that form."""

from collections.abc import Mapping
from typing import Any

DEEPEST = 8
"""Levels down to which a schema is followed; it may refer to itself."""

LONGEST = 100
"""Items of a list and characters of filling, at most."""

_TEXTS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "someone@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""By `format`."""


def sample(schema: Mapping[str, Any]) -> Any:
    """The plainest value that fits a schema.

    It keeps to types, `enum`, `const`, `default`, references within the schema, alternatives, what
    is required, and the least length or size; a `pattern` it doesn't keep to. What is no JSON
    Schema is answered by an empty object.
    """
    try:
        return _sample(schema, schema, DEEPEST)
    except (AttributeError, LookupError, TypeError):
        return {}


def _sample(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or not depth:
        return None
    schema = _resolved(schema, root, depth)
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for several in ("enum", "examples"):
        if schema.get(several):
            return schema[several][0]
    for alternatives in ("anyOf", "oneOf"):
        if schema.get(alternatives):
            return _sample(schema[alternatives][0], root, depth - 1)
    return _of_type(_type(schema), schema, root, depth - 1)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """The schema with what it refers to, and all parts of which it is made, in one."""
    parts = list(schema.get("allOf", ()))
    if "$ref" in schema:
        parts.append(_referred(schema["$ref"], root))
    merged = dict(schema)
    for part in parts:
        if not isinstance(part, Mapping) or not depth:
            continue
        more = _resolved(part, root, depth - 1)
        properties = {**more.get("properties", {}), **merged.get("properties", {})}
        required = [*merged.get("required", ()), *more.get("required", ())]
        merged = {**more, **merged}
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _referred(pointer: object, root: Mapping[str, Any]) -> Any:
    value: Any = root
    for step in str(pointer).removeprefix("#").strip("/").split("/"):
        if step:
            name = step.replace("~1", "/").replace("~0", "~")
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    return kind or ("object" if "properties" in schema else "string")


def _of_type(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            wanted = dict.fromkeys(schema.get("required", ()))
            return {name: _sample(properties.get(name, {}), root, depth) for name in wanted}
        case "array":
            items = schema.get("items", {})
            length = min(schema.get("minItems", 0), LONGEST)
            return [_sample(items, root, depth) for _ in range(length)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            text = _TEXTS.get(schema.get("format", ""), "text")
            return text[: schema.get("maxLength")].ljust(
                min(schema.get("minLength", 0), LONGEST), "."
            )


def _number(schema: Mapping[str, Any]) -> float:
    least = schema.get("minimum", 0)
    if "exclusiveMinimum" in schema:
        least = max(least, schema["exclusiveMinimum"] + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1) - 1)
    number: float = min(least, most)
    return number
