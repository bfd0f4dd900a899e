"""The rotation of the signing keys, in the steps that AWS Secrets Manager takes.

Secrets Manager calls a function four times, each time with the secret's id, a step and the id of
the version to be: `createSecret`, `setSecret`, `testSecret`, `finishSecret`. It repeats a step that
failed, and it begins anew after a rotation that wasn't finished, so every step may come twice.
"""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from parley.adapters.aws import error_code
from parley.ports import Clock, Ids
from parley.services.keyring import Keyring

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"

KID_LENGTH = 8


class RotationRefused(Exception):
    """The secret isn't in the state in which this step may be taken; nothing was changed."""


class SigningKeyRotation:
    """Puts a new key onto the ring that a secret holds, and takes off those that nobody needs."""

    def __init__(self, client: "SecretsManagerClient", clock: Clock, ids: Ids) -> None:
        self._client = client
        self._clock = clock
        self._ids = ids

    def take(self, step: str, secret: str, version: str) -> None:
        """Take one step of a rotation; a step that was taken already changes nothing.

        Raises:
            RotationRefused: this version isn't being rotated to, or the step is unknown.
            ValueError: the secret doesn't hold a keyring.
            ClientError: Secrets Manager refused or failed.
        """
        stages = self._stages(secret)
        if CURRENT in stages.get(version, ()):
            return  # finished before, and asked again
        if PENDING not in stages.get(version, ()):
            raise RotationRefused(
                f"The version {version} is not waiting to become the current one."
            )
        match step:
            case "createSecret":
                self._create(secret, version)
            case "setSecret":
                pass  # nobody else has to be told: functions read the secret when they need it
            case "testSecret":
                self._test(secret, version)
            case "finishSecret":
                self._finish(secret, version, stages)
            case _:
                raise RotationRefused(f"The step {step} is unknown.")

    def _stages(self, secret: str) -> dict[str, list[str]]:
        described = self._client.describe_secret(SecretId=secret)
        if not described.get("RotationEnabled"):
            raise RotationRefused("The secret isn't set to be rotated.")
        return described["VersionIdsToStages"]

    def _create(self, secret: str, version: str) -> None:
        try:
            self._read(secret, PENDING, version)
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
        else:
            return
        ring = Keyring.parse(self._read(secret, CURRENT))
        rotated = ring.rotated(
            self._ids.secret()[:KID_LENGTH], self._ids.secret(), self._clock.now()
        )
        self._client.put_secret_value(
            SecretId=secret,
            ClientRequestToken=version,
            SecretString=str(rotated),
            VersionStages=[PENDING],
        )

    def _test(self, secret: str, version: str) -> None:
        """See that the new ring can be read, and that it still verifies what the old one signed."""
        new = Keyring.parse(self._read(secret, PENDING, version))
        old = Keyring.parse(self._read(secret, CURRENT))
        if new.keys[old.current].secret != old.keys[old.current].secret:
            raise RotationRefused("The new ring lacks the key that signs now.")

    def _finish(self, secret: str, version: str, stages: dict[str, list[str]]) -> None:
        [before] = [other for other, held in stages.items() if CURRENT in held]
        self._client.update_secret_version_stage(
            SecretId=secret,
            VersionStage=CURRENT,
            MoveToVersionId=version,
            RemoveFromVersionId=before,
        )

    def _read(self, secret: str, stage: str, version: str = "") -> str:
        which = {"VersionId": version} if version else {}
        found = self._client.get_secret_value(SecretId=secret, VersionStage=stage, **which)
        return found["SecretString"]
