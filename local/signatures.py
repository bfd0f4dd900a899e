"""AWS Signature Version 4, checked as API Gateway checks it where a route asks for IAM.

Whoever signs with the local credentials is the one user there is, who may do everything.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from local.gateway import Request, Signer
from local.intrinsics import ACCOUNT, REGION

ACCESS_KEY = "local"
SECRET_KEY = "local"  # noqa: S105 - opens nothing but this machine
OPERATOR = Signer(ACCESS_KEY, "AIDALOCALOPERATOR", f"arn:aws:iam::{ACCOUNT}:user/local")

SERVICE = "execute-api"
ALGORITHM = "AWS4-HMAC-SHA256"
LEEWAY = timedelta(minutes=5)
"""How old a signature may be, or how far ahead its clock."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^/, ]+)/([^, ]+), ?SignedHeaders=([^, ]+), ?Signature=([0-9a-f]+)"
)


class UnsignedError(Exception):
    """The request has no signature that counts.

    Attributes:
        kind: the gateway's response for it.
        message: what it says by itself.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def signer(request: Request, now: datetime) -> Signer:
    """Who has signed a request.

    Raises:
        UnsignedError: nobody has whom the gateway knows.
    """
    authorization = request.header("authorization")
    if not authorization:
        raise UnsignedError("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise _invalid("Authorization header requires 'Credential' parameter.")
    access_key, scope, names, signature = found.groups()
    stamp = request.header("x-amz-date")
    if access_key != ACCESS_KEY:
        raise _invalid("The security token included in the request is invalid.")
    if scope != f"{stamp[:8]}/{REGION}/{SERVICE}/aws4_request":
        raise _invalid(f"Credential should be scoped to {SERVICE} in {REGION}.")
    if abs(now - _time(stamp)) > LEEWAY:
        raise _invalid("Signature expired.")
    signed = names.split(";")
    if "host" not in signed or "x-amz-date" not in signed:
        raise _invalid("'Host' and 'X-Amz-Date' must be signed.")
    expected = _signature(_canonical(request, signed), stamp, scope)
    if not hmac.compare_digest(expected, signature):
        raise _invalid("The request signature we calculated does not match.")
    return OPERATOR


def _invalid(message: str) -> UnsignedError:
    return UnsignedError("INVALID_SIGNATURE", message)


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _invalid("Date must be in ISO-8601 'basic format'.") from None


def _canonical(request: Request, signed: Iterable[str]) -> str:
    headers = [
        (name, ",".join(" ".join(value.split()) for key, value in request.headers if key == name))
        for name in signed
    ]
    return "\n".join(
        [
            request.method,
            quote(request.path, safe="/~"),  # encoded once more, as everywhere but in S3
            _canonical_query(request.query),
            *(f"{name}:{value}" for name, value in headers),
            "",
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = [
        tuple(quote(unquote(part), safe="~") for part in (pair[0], pair[2])) for pair in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _signature(canonical: str, stamp: str, scope: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join([ALGORITHM, stamp, scope, digest])
    return hmac.new(key, text.encode(), "sha256").hexdigest()
