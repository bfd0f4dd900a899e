"""What the processes of the local stack find in their environment."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from local.intrinsics import REGION, Evaluator
from local.routes import functions
from local.template import Template

_REAL_ACCOUNT = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
"""Settings of a developer's own AWS account; nothing here may ever act on it."""


def of_functions(
    template: Template,
    inherited: Mapping[str, str],
    aws_endpoint: str,
    front_door: str | None = None,
) -> dict[str, str]:
    """The environment that every function runs in: all share one process, so it is their union.

    The front door stands for the services by which functions reach clients and each other.

    What the developer's shell sets for Parley (`PARLEY_…`) wins over the template, and
    `AWS_ENDPOINT_URL_DYNAMODB` leads to another store for the tables.
    """
    declared: dict[str, str] = {}
    for function, _ in functions(template, Evaluator(template)):
        declared |= function.environment
    own = {name: value for name, value in inherited.items() if name.startswith("PARLEY_")}
    if front_door is not None:
        declared |= {
            "AWS_ENDPOINT_URL_LAMBDA": front_door,
            "PARLEY_SOCKETS_ENDPOINT": front_door,
            "PARLEY_MODEL_PROBE": "embedded",
            "PARLEY_ALLOWED_ORIGINS": "*",
        }
    return {**aws_client(inherited, aws_endpoint), **declared, **own}


def aws_client(inherited: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """The environment in which AWS clients find the local store, and only that."""
    kept = {name: value for name, value in inherited.items() if name not in _REAL_ACCOUNT}
    direct = filter(None, [inherited.get("NO_PROXY"), urlsplit(endpoint).hostname, "127.0.0.1"])
    past_proxies = ",".join(direct)
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": past_proxies,
        "no_proxy": past_proxies,
    }
