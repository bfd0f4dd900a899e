"""Jobs done by a Lambda function that is invoked asynchronously."""

import json
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from parley.adapters import values
from parley.adapters.aws import CONFIG, domain_error, in_thread
from parley.domain.sockets import Job
from parley.telemetry.spans import propagated

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_making = threading.Lock()
"""Held while a client is made: boto3's default session isn't safe for that in many threads."""


class _LambdaFunction:
    """A function that others start, which may be invoked more than once for one event."""

    def __init__(self, name: str | None, setting: str) -> None:
        """Note the function's name; its first event needs it, as few functions start another.

        Args:
            setting: the environment variable that should have named it.
        """
        self._name = name
        self._setting = setting

    def start(self, event: bytes) -> None:
        """Invoke the function; Lambda has stored the event when this returns."""
        if self._name is None:
            raise RuntimeError(f"The environment variable {self._setting} is not set.")
        try:
            self._client.invoke(FunctionName=self._name, InvocationType="Event", Payload=event)
        except (BotoCoreError, ClientError) as error:
            raise domain_error(error) from error

    @cached_property
    def _client(self) -> "LambdaClient":
        with _making:
            return boto3.client("lambda", config=CONFIG)


class LambdaWorkers:
    """The `Workers` behind one function."""

    def __init__(self, function: str | None) -> None:
        self._function = _LambdaFunction(function, "PARLEY_REPLY_FUNCTION")

    @in_thread
    def start(self, job: Job) -> None:
        """Have the function do a job."""
        self._function.start(to_payload(job))


class LambdaErrands:
    """The `Errands` behind one function."""

    def __init__(self, function: str | None) -> None:
        self._function = _LambdaFunction(function, "PARLEY_ERASE_FUNCTION")

    @in_thread
    def erase(self, tenant: str, user: str | None = None) -> None:
        """Have the function erase."""
        event = {"erase": {"tenant": tenant, "user": user}, **propagated()}
        self._function.start(json.dumps(event).encode())


def to_payload(job: Job) -> bytes:
    """A job as the event of an invocation, in the trace that asks for it."""
    name, value = values.jobs.dump(job)
    return json.dumps({"job": name, "of": json.loads(value), **propagated()}).encode()


def from_event(event: Mapping[str, object]) -> Job:
    """The job that an invocation's event carries."""
    return values.jobs.load(str(event["job"]), json.dumps(event["of"]))
