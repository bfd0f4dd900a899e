"""The local gateway takes the signatures that AWS's own SDK makes, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.gateway import Request
from local.intrinsics import ACCOUNT
from local.signatures import UnsignedError, signer
from tests.support.signing import signed

URL = "http://127.0.0.1:8000/admin/v1/tenants"


def request(
    headers: dict[str, str], *, method: str = "GET", url: str = URL, body: bytes = b""
) -> Request:
    split = urlsplit(url)
    return Request(
        method=method,
        path=split.path,
        query=split.query,
        headers=[("host", split.netloc), *((k.lower(), v) for k, v in headers.items())],
        body=body,
        source_ip="127.0.0.1",
    )


def refused(given: Request, *, at: datetime | None = None) -> str:
    with pytest.raises(UnsignedError) as refusal:
        signer(given, at or datetime.now(UTC))
    return refusal.value.kind


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", URL, b""),
        ("POST", URL, '{"id": "ዳሽን"}'.encode()),
        ("GET", f"{URL}/a.b-c_d/personas/my-alias", b""),
        ("GET", f"{URL}/%E1%8B%B3/keys", b""),
        ("GET", f"{URL}/a/conversations?user=ada%40example.org&limit=2&after=", b""),
        ("GET", f"{URL}/a/user-data?user=a%20b%2Bc%2F%E1%8B%B3~%25", b""),
        ("DELETE", f"{URL}/a", b""),
    ],
)
def test_what_the_sdk_signs_is_taken(method: str, url: str, body: bytes) -> None:
    given = request(signed(method, url, body), method=method, url=url, body=body)
    assert signer(given, datetime.now(UTC)).arn == f"arn:aws:iam::{ACCOUNT}:user/local"


def test_nothing_of_what_was_signed_may_be_changed() -> None:
    url, body = f"{URL}?user=ada", b"{}"
    headers = signed("POST", url, body)
    for changed in (
        request(headers, method="PUT", url=url, body=body),
        request(headers, method="POST", url=f"{URL}/a?user=ada", body=body),
        request(headers, method="POST", url=f"{URL}?user=eve", body=body),
        request(headers, method="POST", url=f"{url}&limit=1", body=body),
        request(headers, method="POST", url=url, body=b"{ }"),
        request(headers, method="POST", url=url.replace("127.0.0.1", "localhost"), body=body),
    ):
        assert refused(changed) == "INVALID_SIGNATURE"


@pytest.mark.parametrize(
    "credentials",
    [
        {"secret_key": "another"},
        {"access_key": "another"},
        {"region": "eu-central-1"},
        {"service": "dynamodb"},
    ],
)
def test_another_s_signature_is_refused(credentials: dict[str, Any]) -> None:
    assert refused(request(signed("GET", URL, **credentials))) == "INVALID_SIGNATURE"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_holds_for_minutes(minutes: int) -> None:
    given = request(signed("GET", URL))
    now = datetime.now(UTC)
    assert refused(given, at=now + timedelta(minutes=minutes)) == "INVALID_SIGNATURE"
    signer(given, now + timedelta(minutes=minutes / 2))


def test_the_host_and_the_date_have_to_be_signed() -> None:
    headers = signed("GET", URL)
    for name in ("host;", ";x-amz-date"):
        without = headers["Authorization"].replace(name, "")
        assert refused(request(headers | {"Authorization": without})) == "INVALID_SIGNATURE"
    undated = {name: value for name, value in headers.items() if name != "X-Amz-Date"}
    assert refused(request(undated)) == "INVALID_SIGNATURE"


def test_no_signature_is_a_missing_one() -> None:
    assert refused(request({})) == "MISSING_AUTHENTICATION_TOKEN"


@pytest.mark.parametrize(
    "authorization",
    ["Bearer sk_test_demo", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=local/x", "x"],
)
def test_what_is_no_signature_is_an_invalid_one(authorization: str) -> None:
    assert refused(request({"Authorization": authorization})) == "INVALID_SIGNATURE"
