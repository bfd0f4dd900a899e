"""The OpenAPI document, taken at its word: generated requests get answers it describes."""

import re
import secrets
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.e2e.conftest import Stack
from tests.support.signing import RequestsOperator

HEADERS = {"Authorization": "Bearer sk_test_conformance"}

_TENANT = "/admin/v1/tenants/{tenant}"

RULES_BETWEEN_FIELDS = {
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/chat/{chatId}"),
    ("POST", f"{_TENANT}/keys"),
    ("POST", f"{_TENANT}/keys/{{key}}/rotate"),
    ("PATCH", f"{_TENANT}/limits"),
    ("PATCH", f"{_TENANT}/keys/{{key}}/limits"),
    ("PUT", f"{_TENANT}/models"),
    ("PUT", f"{_TENANT}/app"),
    ("PUT", f"{_TENANT}/catalogue"),
    ("GET", f"{_TENANT}/user-data"),
    ("GET", "/admin/v1/usage"),
}
"""Where one field must fit another (a tool's choice the tools), or the time it is (a key's expiry),
or be written in a way of its own (routes, cursors, groups), which JSON Schema can't say."""

VISIBLE = re.compile("[!-~]{1,255}")

BOUNDED = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(300)
def test_every_route_answers_as_described(stack: Stack) -> None:
    document = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
    operations = list(document.get_all_operations())
    assert operations
    for operation in operations:
        assert isinstance(operation, Ok)
        fuzz(operation.ok())


def fuzz(operation: Any) -> None:
    """Call one operation with generated requests, and hold each answer to the description."""

    between_fields = (operation.method.upper(), operation.path) in RULES_BETWEEN_FIELDS
    is_for_operators = operation.path.startswith("/admin/")
    excluded: list[Any] = [positive_data_acceptance] if between_fields else []
    if is_for_operators:  # to whom doesn't sign, the gateway says that there is no such path
        excluded.append(ignored_auth)

    @BOUNDED
    @given(case=operation.as_strategy())
    def answers_as_described(case: "schemathesis.Case[Any]") -> None:
        headers: Any = case.headers
        if VISIBLE.fullmatch(headers.get("Idempotency-Key", "")):  # it may be another request's
            headers["Idempotency-Key"] = secrets.token_hex(16)
        credential = {"auth": RequestsOperator()} if is_for_operators else {"headers": HEADERS}
        case.call_and_validate(**credential, timeout=30, excluded_checks=excluded)

    answers_as_described()
