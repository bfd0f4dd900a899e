"""Not a route: AWS Secrets Manager calls this in each step of rotating the signing keys."""

from typing import Any

from parley.bootstrap import signing_key_rotation


def handler(event: dict[str, Any], _: object) -> None:
    """Take the step that the event names."""
    signing_key_rotation().take(event["Step"], event["SecretId"], event["ClientRequestToken"])
