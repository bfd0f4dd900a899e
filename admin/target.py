"""Which tables a command works on: the local stack's, or those of a deployed one."""

import os
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local import ROOT, TEMPLATE, environment
from local.folder import AWS_ADDRESS
from local.intrinsics import Evaluator
from local.template import load
from parley.adapters.dynamodb.client import Database, Tables, connect
from parley.adapters.system import SystemClock

DEFAULT_DATA_DIR = ROOT / ".local"

_LOGICAL_IDS = {
    "directory": "DirectoryTable",
    "conversations": "ConversationsTable",
    "transient": "TransientTable",
    "ledger": "LedgerTable",
}


class TargetError(Exception):
    """The tables can't be found; the message says what to do."""


def local(data_dir: Path) -> tuple[Database, Tables]:
    """The tables of the local stack that runs on this data folder.

    Raises:
        TargetError: none runs there.
    """
    try:
        address = (data_dir / AWS_ADDRESS).read_text()
    except OSError as error:
        raise TargetError(
            f"No local stack runs on {data_dir}. Start one with `make dev`, or name a deployed "
            "stack with STACK=."
        ) from error
    os.environ |= environment.aws_client(os.environ, address)
    name = Evaluator(load(TEMPLATE)).physical_name
    tables = {field: name(logical_id) for field, logical_id in _LOGICAL_IDS.items()}
    return Database(connect(), SystemClock()), Tables(**tables)


def deployed(stack: str) -> tuple[Database, Tables]:
    """The tables of a deployed stack, with the credentials and the region of the environment.

    Raises:
        TargetError: there is no such stack, or nobody may look.
    """
    try:
        described = boto3.client("cloudformation").describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        raise TargetError(f"The stack {stack} can't be found: {error}") from error
    outputs = {
        output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0]["Outputs"]
    }
    try:
        tables = {field: outputs[f"{name}Name"] for field, name in _LOGICAL_IDS.items()}
    except KeyError as error:
        raise TargetError(f"The stack {stack} has no output {error}: is it Parley's?") from error
    return Database(connect(), SystemClock()), Tables(**tables)
