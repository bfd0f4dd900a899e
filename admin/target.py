"""Which deployment a command works on: the local stack, or a deployed one."""

import os
from dataclasses import replace
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local import ROOT, TEMPLATE, environment
from local.folder import AWS_ADDRESS
from local.template import load
from parley.settings import Settings

DEFAULT_DATA_DIR = ROOT / ".local"

_SILENT = "CRITICAL"
"""What the services log is for a deployment's operators; this one reads what the program says."""

_OUTPUTS = {
    "directory_table": "DirectoryTableName",
    "conversations_table": "ConversationsTableName",
    "transient_table": "TransientTableName",
    "ledger_table": "LedgerTableName",
    "pepper_secret": "PepperSecretArn",
    "signing_secret": "SigningSecretArn",
}


class TargetError(Exception):
    """The deployment can't be found; the message says what to do."""


def local(data_dir: Path) -> Settings:
    """The settings of the local stack that runs on this data folder.

    From here on AWS clients of this process find its services, and nothing else.

    Raises:
        TargetError: none runs there.
    """
    try:
        address = (data_dir / AWS_ADDRESS).read_text()
    except OSError as error:
        raise TargetError(
            f"No local stack runs on {data_dir}. Start one with `make dev`, or name a deployed "
            "stack with --stack."
        ) from error
    variables = environment.of_functions(load(TEMPLATE), os.environ, address)
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ |= variables
    return replace(Settings.from_environment(variables), log_level=_SILENT)


def deployed(stack: str, profile: str | None) -> Settings:
    """The settings of a deployed stack, with the profile's credentials and region.

    Args:
        profile: of the operator's AWS configuration; None takes what the environment says.

    Raises:
        TargetError: there is no such stack, or nobody may look.
    """
    if profile is not None:
        os.environ["AWS_PROFILE"] = profile
    try:
        described = boto3.client("cloudformation").describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        raise TargetError(f"The stack {stack} can't be found: {error}") from error
    outputs = {
        output["OutputKey"]: output["OutputValue"]
        for output in described["Stacks"][0].get("Outputs", [])
    }
    try:
        found = {field: outputs[name] for field, name in _OUTPUTS.items()}
    except KeyError as error:
        raise TargetError(f"The stack {stack} has no output {error}: is it Parley's?") from error
    return Settings(stack=stack, log_level=_SILENT, **found)
