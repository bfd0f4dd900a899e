"""Requests signed with AWS credentials, by the signer of AWS's own SDK."""

from collections.abc import Generator

import httpx
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.intrinsics import REGION
from local.signatures import ACCESS_KEY, SECRET_KEY, SERVICE


def signed(
    method: str,
    url: str,
    body: bytes = b"",
    *,
    access_key: str = ACCESS_KEY,
    secret_key: str = SECRET_KEY,
    service: str = SERVICE,
    region: str = REGION,
) -> dict[str, str]:
    """The headers that sign a request."""
    request = AWSRequest(method=method, url=url, data=body)
    SigV4Auth(Credentials(access_key, secret_key), service, region).add_auth(request)
    return dict(request.headers)


class Operator(httpx.Auth):
    """Signs the requests of an httpx client, with the local credentials where it has no others."""

    requires_request_body = True

    def __init__(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
        self._keys = {"access_key": access_key, "secret_key": secret_key}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one."""
        url = str(request.url)
        request.headers.update(signed(request.method, url, request.content, **self._keys))
        yield request


class RequestsOperator(requests.auth.AuthBase):
    """The same for requests."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one."""
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        assert isinstance(content, bytes)
        request.headers.update(signed(str(request.method), str(request.url), content))
        return request
