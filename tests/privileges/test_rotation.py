"""The rotation of the signing keys with the rights of its function, and without.

The emulator rotates nothing: it keeps a secret's versions, and that it is to be rotated. So the
steps are asked for here as Secrets Manager asks for them, for a version that was made as it makes
it, and one answer is put right that the emulator gives otherwise than AWS.
"""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from parley.services.keyring import Keyring
from tests.privileges.deployment import EVENTS, Deployment
from tests.privileges.rotation import secrets_manager

FUNCTION = "RotateSigningKey"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Rotation:
    """The rotation of the deployment's signing secret."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._client: Any = deployment.client("secretsmanager")
        self._secret = deployment.variables("Streaming")["PARLEY_SIGNING_SECRET"]

    def switch_on(self) -> None:
        self._client.rotate_secret(
            SecretId=self._secret,
            RotationLambdaARN=self._deployment.arn(FUNCTION),
            RotateImmediately=False,
        )

    def begin(self) -> str:
        """Make the empty version that a rotation is to fill; its id."""
        version = str(uuid.uuid4())
        self._client.put_secret_value(
            SecretId=self._secret, ClientRequestToken=version, VersionStages=["AWSPENDING"]
        )
        return version

    def take(self, step: str, version: str) -> bool:
        """Whether the function takes a step."""
        asked = {"Step": step, "SecretId": self._secret, "ClientRequestToken": version}
        return self._deployment.does(FUNCTION, EVENTS["rotation/rotate_signing_key"] | asked)

    def ring(self) -> Keyring:
        found = self._client.get_secret_value(SecretId=self._secret)
        return Keyring.parse(found["SecretString"])


@pytest.fixture(scope="module")
def rotation(deployment: Deployment) -> Iterator[Rotation]:
    made = Rotation(deployment)
    made.switch_on()
    with secrets_manager(deployment.endpoint) as url:
        deployment.restart(FUNCTION, AWS_ENDPOINT_URL_SECRETS_MANAGER=url)
        yield made


def rotates(rotation: Rotation, lacking: AbstractContextManager[None]) -> bool:
    before, version = rotation.ring(), rotation.begin()
    with lacking:
        if not all(rotation.take(step, version) for step in STEPS):
            return False
    after = rotation.ring()
    return after.current != before.current and before.current in after.keys


def test_the_function_that_rotates_keys_fails_without_any_of_its_rights(
    deployment: Deployment, rotation: Rotation
) -> None:
    """Taken away one by one, so that it is this one that was missing."""
    assert deployment.spared(FUNCTION, partial(rotates, rotation)) == set()
