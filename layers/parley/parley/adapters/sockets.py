"""Open WebSocket connections, reached through API Gateway's management API."""

import threading
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters.aws import CONFIG, domain_error, error_code, in_thread
from parley.domain.errors import ConnectionGone, ParleyError

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_making = threading.Lock()
"""Held while a client is made: boto3's default session isn't safe for that in many threads."""


class ApiGatewaySockets:
    """The `Sockets` behind one stage of a WebSocket API.

    A call whose answer is lost is repeated, so a frame may arrive twice, but never not at all.
    """

    def __init__(self, endpoint: str | None) -> None:
        """Note where the stage is; the first call needs it, as few functions make any."""
        self._endpoint = endpoint

    @in_thread
    def post(self, connection: str, frame: str) -> None:
        """Send a text."""
        try:
            self._client.post_to_connection(ConnectionId=connection, Data=frame.encode())
        except (BotoCoreError, ClientError) as error:
            raise _refusal(error) from error

    @in_thread
    def is_open(self, connection: str) -> bool:
        """Whether a client can be reached."""
        try:
            self._client.get_connection(ConnectionId=connection)
        except (BotoCoreError, ClientError) as error:
            refusal = _refusal(error)
            if isinstance(refusal, ConnectionGone):
                return False
            raise refusal from error
        return True

    @in_thread
    def close(self, connection: str) -> None:
        """End a connection."""
        try:
            self._client.delete_connection(ConnectionId=connection)
        except (BotoCoreError, ClientError) as error:
            refusal = _refusal(error)
            if not isinstance(refusal, ConnectionGone):
                raise refusal from error

    @cached_property
    def _client(self) -> "ApiGatewayManagementApiClient":
        if self._endpoint is None:
            raise RuntimeError("The environment variable PARLEY_SOCKETS_ENDPOINT is not set.")
        with _making:
            return boto3.client(
                "apigatewaymanagementapi", endpoint_url=self._endpoint, config=CONFIG
            )


def _refusal(error: BotoCoreError | ClientError) -> ParleyError:
    if isinstance(error, ClientError) and error_code(error) == "GoneException":
        return ConnectionGone("The connection isn't open.")
    return domain_error(error)
