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


class LambdaWorkers:
    """The `Workers` behind one function, which may be invoked more than once for a job."""

    def __init__(self, function: str | None) -> None:
        """Note the function's name; the first job needs it, as few functions start any."""
        self._function = function

    @in_thread
    def start(self, job: Job) -> None:
        """Invoke the function; Lambda has stored the event when this returns."""
        if self._function is None:
            raise RuntimeError("The environment variable PARLEY_REPLY_FUNCTION is not set.")
        try:
            self._client.invoke(
                FunctionName=self._function, InvocationType="Event", Payload=to_payload(job)
            )
        except (BotoCoreError, ClientError) as error:
            raise domain_error(error) from error

    @cached_property
    def _client(self) -> "LambdaClient":
        with _making:
            return boto3.client("lambda", config=CONFIG)


def to_payload(job: Job) -> bytes:
    """A job as the event of an invocation, in the trace that asks for it."""
    name, value = values.jobs.dump(job)
    return json.dumps({"job": name, "of": json.loads(value), **propagated()}).encode()


def from_event(event: Mapping[str, object]) -> Job:
    """The job that an invocation's event carries."""
    return values.jobs.load(str(event["job"]), json.dumps(event["of"]))
