"""Evaluates a template's intrinsic functions as a stack on this machine would."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from local.template import Template, TemplateError

REGION = "us-east-1"
ACCOUNT = "000000000000"
STACK = "parley-local"

_PSEUDO_PARAMETERS: Mapping[str, str] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}

_NAME_PROPERTIES: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::Serverless::Function": "FunctionName",
}

_ARN_PATTERNS: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::SecretsManager::Secret": "secretsmanager:{region}:{account}:secret:{name}",
    "AWS::Serverless::Function": "lambda:{region}:{account}:function:{name}",
}


class _NoValue:
    """What `AWS::NoValue` evaluates to: the property or element around it disappears."""


NO_VALUE: Final = _NoValue()


class Evaluator:
    """Evaluates values of one template with the defaults of its parameters.

    A resource's physical name is the one its properties give, or else its logical id: stable from
    one start to the next, which the names CloudFormation makes up would not be.
    """

    def __init__(self, template: Template, parameters: Mapping[str, str] | None = None) -> None:
        self._template = template
        self._parameters = {
            name: declared.get("Default", "")
            for name, declared in (template.get("Parameters") or {}).items()
        } | dict(parameters or {})

    def evaluate(self, value: Any) -> Any:
        """The value with every intrinsic function in it replaced by its result.

        Raises:
            TemplateError: a function isn't known here, or names something that doesn't exist.
        """
        if isinstance(value, list):
            items = (self.evaluate(item) for item in value)
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name in {"Ref", "Condition"} or name.startswith("Fn::"):
                return self._call(name, argument)
        evaluated = {key: self.evaluate(item) for key, item in value.items()}
        return {key: item for key, item in evaluated.items() if item is not NO_VALUE}

    def physical_name(self, logical_id: str) -> str:
        """The name under which a resource is found once it is created."""
        resource = self._resource(logical_id)
        named_by = _NAME_PROPERTIES.get(resource["Type"])
        given = (resource.get("Properties") or {}).get(named_by)
        name = logical_id if given is None else self.evaluate(given)
        return logical_id if name is NO_VALUE else str(name)

    def _call(self, name: str, argument: Any) -> Any:
        functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": self._attribute,
            "Fn::If": self._if,
            "Fn::Equals": lambda pair: operator.eq(*self.evaluate(pair)),
            "Fn::Not": lambda only: not self.evaluate(only)[0],
            "Fn::And": lambda all_of: all(self.evaluate(all_of)),
            "Fn::Or": lambda any_of: any(self.evaluate(any_of)),
            "Fn::Join": self._join,
            "Fn::FindInMap": self._find_in_map,
        }
        if name not in functions:
            raise TemplateError(f"The local stack can't evaluate {name}.")
        return functions[name](argument)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in _PSEUDO_PARAMETERS:
            return _PSEUDO_PARAMETERS[name]
        if name in self._parameters:
            return self._parameters[name]
        return self.physical_name(name)

    def _condition(self, name: str) -> bool:
        try:
            return bool(self.evaluate(self._template["Conditions"][name]))
        except KeyError as error:
            raise TemplateError(f"The template has no condition {name}.") from error

    def _sub(self, argument: Any) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})

        def replace(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in given:
                return str(self.evaluate(given[name]))
            resource, _, attribute = name.partition(".")
            return str(self._attribute([resource, attribute]) if attribute else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", replace, text)

    def _attribute(self, path: list[str]) -> str:
        logical_id, attribute = path
        name = self.physical_name(logical_id)
        if attribute != "Arn":
            return f"{name}.{attribute}"
        pattern = _ARN_PATTERNS.get(self._resource(logical_id)["Type"], "{name}")
        return "arn:aws:" + pattern.format(region=REGION, account=ACCOUNT, name=name)

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.evaluate(then if self._condition(condition) else otherwise)

    def _join(self, argument: list[Any]) -> str:
        separator, parts = self.evaluate(argument)
        return str(separator).join(str(part) for part in parts)

    def _find_in_map(self, argument: list[Any]) -> Any:
        table, row, column = self.evaluate(argument)
        return self.evaluate(self._template["Mappings"][table][row][column])

    def _resource(self, logical_id: str) -> dict[str, Any]:
        try:
            resource: dict[str, Any] = self._template["Resources"][logical_id]
        except KeyError as error:
            raise TemplateError(f"The template has no resource {logical_id}.") from error
        return resource
