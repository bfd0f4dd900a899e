"""The OpenAPI document, taken at its word: generated requests get answers it describes."""

import re
import secrets
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.e2e.conftest import Stack

HEADERS = {"Authorization": "Bearer sk_test_conformance"}

RULES_BETWEEN_FIELDS = {("POST", "/v1/chat/completions"), ("POST", "/v1/chat/{chatId}")}
"""Where one field must fit another (a tool's choice the tools), which JSON Schema can't say."""

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
    inexpressible: list[Any] = [positive_data_acceptance] if between_fields else []

    @BOUNDED
    @given(case=operation.as_strategy())
    def answers_as_described(case: "schemathesis.Case[Any]") -> None:
        key = (case.headers or {}).get("Idempotency-Key")
        if key is not None and VISIBLE.fullmatch(key):  # by chance it was another request's
            case.headers["Idempotency-Key"] = secrets.token_hex(16)
        case.call_and_validate(headers=HEADERS, excluded_checks=inexpressible)

    answers_as_described()
