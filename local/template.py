"""Reads the SAM template as plain values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


class TemplateError(Exception):
    """The template is missing, isn't YAML or doesn't say what is needed of it."""


def load(path: Path) -> Template:
    """Read a template; short tags become the long form of their intrinsic function.

    `!Ref X` becomes `{"Ref": "X"}`, `!Sub X` becomes `{"Fn::Sub": "X"}`, `!GetAtt A.B` becomes
    `{"Fn::GetAtt": ["A", "B"]}`. Dates stay text, as they do in CloudFormation.

    Raises:
        TemplateError: there is no such file, or it isn't a template.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader  # nosec B506
    except FileNotFoundError as error:
        raise TemplateError(f"There is no {path}.") from error
    except yaml.YAMLError as error:
        raise TemplateError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path} has no Resources.")
    return document


def resources(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of every resource of one type, in the template's order."""
    for logical_id, resource in template["Resources"].items():
        if resource.get("Type") == kind:
            yield logical_id, resource.get("Properties") or {}


class _Loader(yaml.SafeLoader):
    """A safe loader that knows CloudFormation's tags and no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _intrinsic(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    if tag in {"Ref", "Condition"}:
        return {tag: value}
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _intrinsic)
