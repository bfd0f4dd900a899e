"""The routes a template declares, found the way API Gateway finds them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from local.intrinsics import Evaluator
from local.template import Template, resources

ANY = "ANY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function as the template describes it."""

    name: str
    code: str
    """Its folder, relative to the template."""
    handler: str
    timeout: int
    """Seconds."""
    memory: int
    """Megabytes."""
    environment: Mapping[str, str]

    @property
    def module(self) -> str:
        """The module of the handler as it is imported from the template's folder."""
        module, _, _ = self.handler.rpartition(".")
        return ".".join([*PurePosixPath(self.code).parts, *module.split("/")])

    @property
    def attribute(self) -> str:
        """The handler's name in its module."""
        return self.handler.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one resource, and the function that answers it."""

    resource: str
    method: str
    """In capitals; `ANY` stands for those not declared beside it."""
    function: Function
    streams: bool
    is_signed: bool = False
    """Whether it answers only requests signed with AWS credentials."""


@dataclass(frozen=True, slots=True)
class Match:
    """A route found for a request, with its path variables as the client encoded them."""

    route: Route
    path_parameters: Mapping[str, str]


def functions(template: Template, evaluator: Evaluator) -> Iterator[tuple[Function, list[Any]]]:
    """Every function of the template with the events that invoke it."""
    shared = (template.get("Globals") or {}).get("Function") or {}
    for logical_id, own in resources(template, "AWS::Serverless::Function"):
        properties = shared | own
        variables = evaluator.evaluate(_variables(shared) | _variables(own))
        function = Function(
            name=evaluator.physical_name(logical_id),
            code=evaluator.evaluate(properties["CodeUri"]),
            handler=evaluator.evaluate(properties["Handler"]),
            timeout=int(evaluator.evaluate(properties.get("Timeout", 3))),
            memory=int(evaluator.evaluate(properties.get("MemorySize", 128))),
            environment={name: str(value) for name, value in variables.items()},
        )
        yield function, list((properties.get("Events") or {}).values())


def routes(template: Template, evaluator: Evaluator) -> list[Route]:
    """Every route of the template's REST API."""
    return [
        _route(function, evaluator.evaluate(event["Properties"]))
        for function, events in functions(template, evaluator)
        for event in events
        if event["Type"] == "Api"
    ]


def _variables(properties: Mapping[str, Any]) -> dict[str, Any]:
    return (properties.get("Environment") or {}).get("Variables") or {}


def _route(function: Function, event: Mapping[str, Any]) -> Route:
    method = event["Method"].upper()
    return Route(
        resource=event["Path"],
        method=ANY if method == "*" else method,
        function=function,
        streams=event.get("ResponseTransferMode") == "RESPONSE_STREAM",
        is_signed=(event.get("Auth") or {}).get("Authorizer") == "AWS_IAM",
    )


class Router:
    """Finds the route of a request by API Gateway's rules.

    A fixed segment beats a variable one and that a greedy one, from left to right; the path decides
    before the method does; a slash at the end makes no difference.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._resources: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._resources.setdefault(route.resource, {})[route.method] = route
        self._by_precedence = sorted(
            ((_segments(resource), resource) for resource in self._resources),
            key=lambda entry: [_precedence(segment) for segment in entry[0]],
        )

    def match(self, method: str, path: str) -> Match | None:
        """The route for a method and a path as it stands in the request line, without query."""
        given = _segments(path)
        for declared, resource in self._by_precedence:
            variables = _bind(declared, given)
            if variables is not None:
                methods = self._resources[resource]
                route = methods.get(method) or methods.get(ANY)
                return Match(route, variables) if route else None
        return None


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").removesuffix("/").split("/")


def _precedence(segment: str) -> int:
    if segment.endswith("+}"):
        return 2
    return 1 if segment.startswith("{") else 0


def _bind(declared: list[str], given: list[str]) -> Mapping[str, str] | None:
    variables: dict[str, str] = {}
    for position, segment in enumerate(declared):
        rest = given[position:]
        match _precedence(segment):
            case 2 if rest and all(rest):
                return variables | {segment[1:-2]: "/".join(rest)}
            case 1 if rest and rest[0]:
                variables[segment[1:-1]] = rest[0]
            case 0 if rest and rest[0] == segment:
                pass
            case _:
                return None
    return variables if len(declared) == len(given) else None
