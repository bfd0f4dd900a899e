"""Functions serve with the rights they have, and don't without; as an emulator enforces them.

It enforces IAM policies of roles at every call of DynamoDB, Secrets Manager, Lambda and of the
connections behind a WebSocket API, and those of callers at a REST API. This module uses the routes
of callers, and its neighbours the functions behind the WebSocket API, those for operators, and the
one that rotates keys.

What it can't show: calls of models, as it asks another right for Bedrock's streams than AWS; what
Lambda itself does with a role, as it moves abandoned jobs to their queue without asking; the Lambda
Web Adapter; and AWS's own idea of a resource's ARN. That nothing has a right that it never uses is
proven without it, by tests/routes/test_rights.py and its neighbours.
"""

import secrets
from collections import defaultdict
from collections.abc import Mapping

import pytest

from local.template import resources
from tests.privileges.conftest import restore
from tests.privileges.deployment import DECLARED, EVENTS, STREAMING, Deployment
from tests.routes.conftest import TEMPLATE
from tests.routes.test_rights import OPERATORS, SOCKETS

ROUTES = [
    name
    for name, event in EVENTS.items()
    if "httpMethod" in event and not name.startswith(("admin/", "fallback/"))
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
    """Taken away one by one, so that it is this one that was missing.

    Of a function that streams the first that it lacks is enough: what has begun to answer tries for
    many seconds to keep what it can.
    """
    needed: dict[str, set[str]] = defaultdict(set)
    unused: dict[str, set[str]] = defaultdict(set)
    for name, function in FUNCTIONS.items():
        for action in deployment.actions(function):
            if name in STREAMING and needed[function]:
                break
            restore()
            with deployment.without(function, action):
                fails = deployment.ask(name) >= 500
            (needed if fails else unused)[function].add(action)
    having = {function for function in FUNCTIONS.values() if deployment.actions(function)}
    assert {function for function in having if not needed[function]} == set(), dict(unused)


def test_no_function_admits_anybody_without_the_rights_that_all_share(
    deployment: Deployment,
) -> None:
    with deployment.without_shared("AuthenticatePolicy", "dynamodb:UpdateItem"):
        admitted = {
            name: status
            for name, function in FUNCTIONS.items()
            if deployment.shares(function, "AuthenticatePolicy")
            and (status := deployment.ask(name)) < 500
        }
    assert admitted == {}


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        ("AuthenticatePolicy", "dynamodb:GetItem"),
        ("AuthenticatePolicy", "secretsmanager:GetSecretValue"),
        ("AnswerOncePolicy", "dynamodb:PutItem"),
    ],
)
def test_a_function_fails_without_a_shared_right(
    deployment: Deployment, policy: str, action: str
) -> None:
    """One that remembers neither key nor secret, asked for what is to happen once."""
    event = EVENTS["sessions/create_chat"]

    def create() -> int:
        once = {"Idempotency-Key": secrets.token_hex(8)}
        deployment.restart("CreateChat")
        return deployment.send({**event, "headers": event["headers"] | once}).status_code

    assert create() == 201
    with deployment.without_shared(policy, action):
        assert create() >= 500


def test_the_function_that_needs_no_rights_refuses_what_a_path_does_not_do(
    deployment: Deployment,
) -> None:
    assert deployment.actions("RefuseMethod") == []
    assert deployment.ask("fallback/refuse_method") == 405


def test_every_function_of_the_template_is_used_here() -> None:
    """The others by the modules beside this one, which take theirs from the same sets."""
    elsewhere = SOCKETS | OPERATORS | {"RotateSigningKey", "RefuseMethod"}
    declared = {name for name, _ in resources(TEMPLATE, "AWS::Serverless::Function")}
    assert set(FUNCTIONS.values()) | elsewhere == declared
