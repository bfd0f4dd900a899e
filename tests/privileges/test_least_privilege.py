"""Functions serve with the rights they have, and don't without; as an emulator enforces them.

It enforces IAM policies of roles at every call of DynamoDB, Secrets Manager and Lambda, and of
callers at API Gateway. What it can't show: calls of Bedrock and of API Gateway's connections, which
it lacks, the Lambda Web Adapter, and AWS's own idea of a resource's ARN. That nothing has a right
that it never uses is proven without it, by tests/routes/test_rights.py and its neighbours.
"""

from collections import defaultdict
from collections.abc import Mapping

import pytest

from tests.privileges.conftest import DECLARED, EVENTS, STREAMING, Deployment, restore

ROUTES = [
    name
    for name, event in EVENTS.items()
    if "httpMethod" in event and not name.startswith(("admin/", "fallback/"))
]
OPERATORS = [
    name for name, event in EVENTS.items() if name.startswith("admin/") and "httpMethod" in event
]

FUNCTIONS: Mapping[str, str] = {
    name: STREAMING[name]
    if name in STREAMING
    else next(
        each.function.name
        for each in DECLARED
        if (each.method, each.resource) == (EVENTS[name]["httpMethod"], EVENTS[name]["resource"])
    )
    for name in ROUTES
}
"""Functions by the event files of their routes."""


def test_every_route_serves_with_the_rights_that_its_function_has(deployment: Deployment) -> None:
    refused = {}
    for name in sorted(ROUTES, key=lambda name: ("delete" in name, name)):
        restore()
        status = deployment.ask(name)
        if not 200 <= status < 300:
            refused[name] = status
    assert refused == {}


def test_a_function_fails_without_rights_that_it_has(deployment: Deployment) -> None:
    """Taken away one by one, so that it is this one that was missing."""
    needed: dict[str, set[str]] = defaultdict(set)
    unused: dict[str, set[str]] = defaultdict(set)
    for name, function in FUNCTIONS.items():
        for action in deployment.actions(function):
            restore()
            with deployment.without(function, action):
                fails = not 200 <= deployment.ask(name) < 300
            (needed if fails else unused)[function].add(action)
    having = {function for function in FUNCTIONS.values() if deployment.actions(function)}
    assert having - set(needed) == set(), dict(unused)


@pytest.mark.parametrize("action", ["dynamodb:UpdateItem"])
def test_no_function_admits_anybody_without_the_rights_that_all_share(
    deployment: Deployment, action: str
) -> None:
    with deployment.without_shared("AuthenticatePolicy", action):
        admitted = {
            name: status
            for name, function in FUNCTIONS.items()
            if deployment.shares(function, "AuthenticatePolicy")
            and (status := deployment.ask(name)) < 500
        }
    assert admitted == {}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operators_route_answers_nobody_whose_signature_is_not_valid(
    deployment: Deployment, name: str
) -> None:
    """Neither with an event file's signature, which is old, nor with a tenant's key."""
    event = EVENTS[name]
    keys = {"Authorization": "Bearer sk_prod_demo", "X-API-Key": "sk_prod_demo"}
    for headers in (event["headers"], {}, keys):
        status = deployment.send({**event, "headers": headers}).status_code
        assert status in {403, 404}
