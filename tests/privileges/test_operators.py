"""The operators' API with the rights of its functions and its callers, and without.

Requests go through the emulator's REST API, which checks who has signed them and what that user may
do. The function that erases is started by another one, as it is on AWS, and once more directly.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial

import httpx
import pytest

from tests.privileges.customers import USER, Customer
from tests.privileges.deployment import EVENTS, PATIENCE, Deployment
from tests.routes.test_rights import OPERATORS
from tests.support.signing import Operator

ROUTES = [
    name.removeprefix("admin/")
    for name, event in EVENTS.items()
    if name.startswith("admin/") and "httpMethod" in event
]

Lacking = AbstractContextManager[None]
"""A block in which a right is taken away."""


@pytest.fixture(scope="module")
def operator(deployment: Deployment) -> httpx.Auth:
    """A user of the account who has the policy of operators, and nothing else."""
    return signer(deployment, "OperatorPolicy")


def signer(deployment: Deployment, *policies: str) -> Operator:
    name = f"user-{secrets.token_hex(4)}"
    deployment.iam.create_user(UserName=name)
    for policy in policies:
        deployment.iam.attach_user_policy(UserName=name, PolicyArn=deployment.ids[policy])
    key = deployment.iam.create_access_key(UserName=name)["AccessKey"]
    return Operator(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_serves_an_operator(
    deployment: Deployment, operator: httpx.Auth, route: str
) -> None:
    customer = Customer(deployment)
    if route == "get_catalogue":
        customer.ask(operator, "load_catalogue")
    assert customer.ask(operator, route).is_success


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_answers_nobody_whose_signature_is_not_valid(
    deployment: Deployment, route: str
) -> None:
    """Neither with an event file's signature, which is old, nor with a tenant's key."""
    event = EVENTS[f"admin/{route}"]
    keys = {"Authorization": "Bearer sk_prod_demo", "X-API-Key": "sk_prod_demo"}
    for headers in (event["headers"], {}, keys):
        assert deployment.send({**event, "headers": headers}).status_code == 403


def test_no_route_answers_a_user_of_the_account_who_is_no_operator(deployment: Deployment) -> None:
    customer, stranger = Customer(deployment), signer(deployment)
    assert {customer.ask(stranger, route).status_code for route in ROUTES} == {403}


def test_a_tenant_is_erased_by_the_function_that_a_request_starts(
    deployment: Deployment, operator: httpx.Auth
) -> None:
    customer = Customer(deployment)
    assert customer.ask(operator, "delete_tenant").status_code == 202
    deadline = time.monotonic() + PATIENCE
    while customer.exists():  # until the other function has done its work
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not customer.has_chat()


def administers(deployment: Deployment, operator: httpx.Auth, lacking: Lacking) -> bool:
    """Makes a key, removes a user, and has a tenant removed; with nothing remembered."""
    customer = Customer(deployment)
    deployment.restart("Admin")
    with lacking:
        routes = ("create_key", "delete_user", "delete_tenant")
        return all(customer.ask(operator, route).is_success for route in routes)


def erases(deployment: Deployment, _: httpx.Auth, lacking: Lacking) -> bool:
    customer = Customer(deployment)
    event = EVENTS["admin/erase"] | {"erase": {"tenant": customer.id, "user": USER}}
    with lacking:
        return deployment.does("Erase", event) and not customer.has_chat()


SERVES: Mapping[str, Callable[[Deployment, httpx.Auth, Lacking], bool]] = {
    "Admin": administers,
    "Erase": erases,
}

SPARED: Mapping[str, set[str]] = {"Erase": {"sqs:SendMessage"}}
"""What Lambda itself does with a role, where the emulator doesn't ask for the right to."""


@pytest.mark.parametrize("function", sorted(OPERATORS))
def test_a_function_for_operators_fails_without_any_of_its_rights(
    deployment: Deployment, operator: httpx.Auth, function: str
) -> None:
    """Taken away one by one, so that it is this one that was missing."""
    spared = deployment.spared(function, partial(SERVES[function], deployment, operator))
    assert spared == SPARED.get(function, set())
