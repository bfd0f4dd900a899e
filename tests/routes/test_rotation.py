"""The rotation of the signing keys, step by step, as AWS Secrets Manager asks for it."""

import importlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.backends import get_backend

from parley import bootstrap
from parley.adapters.rotation import RotationRefused
from parley.services.keyring import Keyring
from tests.routes.conftest import NOW, ROOT, Context, Invoke
from tests.routes.test_rights import Right, declared, used

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
ACCOUNT = "123456789012"
SECRET = "SigningSecret"


class SecretsManager:
    """Secrets Manager around the signing secret, which rotates as the service documents it."""

    def __init__(self) -> None:
        self.event = json.loads((ROOT / "events/rotation/rotate_signing_key.json").read_text())
        self.client: SecretsManagerClient = boto3.client("secretsmanager")
        # moto keeps secrets so; what AWS does by itself in a rotation is done to it here.
        backend: Any = get_backend("secretsmanager")[ACCOUNT]["us-east-1"]
        self._secret = backend.secrets[SECRET]
        self._secret.rotation_requested = self._secret.rotation_enabled = True

    def begin(self, version: str | None = None) -> str:
        """Make the empty version that a rotation is to fill."""
        version = version or str(uuid.uuid4())
        self._secret.versions[version] = {
            "createdate": 0,
            "version_id": version,
            "version_stages": ["AWSPENDING"],
        }
        return version

    def disable(self) -> None:
        self._secret.rotation_enabled = False

    def ask(self, step: str, version: str) -> None:
        handler = importlib.import_module("functions.rotation.rotate_signing_key").handler
        handler(self.event | {"Step": step, "ClientRequestToken": version}, Context())
        # What moto answers without a stage stays the same when the label moves.
        [self._secret.default_version_id] = [
            name
            for name, found in self._secret.versions.items()
            if "AWSCURRENT" in found["version_stages"]
        ]

    def rotate(self) -> None:
        version = self.begin()
        for step in STEPS:
            self.ask(step, version)

    def ring(self, **which: Any) -> Keyring:
        found = self.client.get_secret_value(SecretId=SECRET, **which)
        return Keyring.parse(found["SecretString"])


@pytest.fixture
def manager(services: bootstrap.Services) -> SecretsManager:
    return SecretsManager()


def test_rotate_signing_key_makes_a_ring_of_the_first_secret(manager: SecretsManager) -> None:
    [first] = manager.ring().keys.values()
    manager.rotate()
    ring = manager.ring()
    assert ring.current != "0"
    assert set(ring.keys) == {"0", ring.current}
    assert ring.keys["0"].secret == first.secret
    assert ring.keys["0"].retired_at is not None
    assert len(ring.keys[ring.current].secret) == 43


def test_rotate_signing_key_changes_nothing_before_its_last_step(manager: SecretsManager) -> None:
    before = manager.ring()
    version = manager.begin()
    for step in STEPS[:-1]:
        manager.ask(step, version)
        assert manager.ring() == before
    pending = manager.ring(VersionStage="AWSPENDING")
    manager.ask("finishSecret", version)
    assert manager.ring() == pending


def test_rotate_signing_key_may_take_each_step_twice(manager: SecretsManager) -> None:
    version = manager.begin()
    manager.ask("createSecret", version)
    made = manager.ring(VersionStage="AWSPENDING")
    for step in [*STEPS, "finishSecret", "createSecret", "finishSecret"]:
        manager.ask(step, version)
    assert manager.ring() == made


def test_rotate_signing_key_begins_anew_after_a_rotation_that_was_not_finished(
    manager: SecretsManager,
) -> None:
    manager.ask("createSecret", manager.begin())
    before = manager.ring()
    manager.rotate()
    assert manager.ring().current not in before.keys


def test_rotate_signing_key_refuses_what_is_no_rotation(manager: SecretsManager) -> None:
    with pytest.raises(RotationRefused):
        manager.ask("createSecret", str(uuid.uuid4()))
    version = manager.begin()
    with pytest.raises(RotationRefused):
        manager.ask("dropSecret", version)
    with pytest.raises(ClientError):
        manager.ask("testSecret", version)  # nothing is there to be tested
    manager.disable()
    with pytest.raises(RotationRefused):
        manager.ask("createSecret", version)


def test_rotate_signing_key_refuses_to_lose_the_key_that_signs_now(manager: SecretsManager) -> None:
    version = manager.begin()
    foreign = str(Keyring.parse("foreign").rotated("1", "new", NOW))
    manager.client.put_secret_value(
        SecretId=SECRET,
        ClientRequestToken=version,
        SecretString=foreign,
        VersionStages=["AWSPENDING"],
    )
    with pytest.raises(RotationRefused):
        manager.ask("testSecret", version)


def test_the_function_may_do_what_it_does_and_nothing_else(
    manager: SecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[Right] = set()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def recorded(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        asked.update(used(operation, arguments))
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    manager.rotate()
    _, own = declared()
    assert asked == own["RotateSigningKey"]


def test_a_token_of_before_a_rotation_works_after_it(
    manager: SecretsManager, invoke: Invoke, services: bootstrap.Services
) -> None:
    old = {"X-API-Key": invoke("personas/get_token").json["token"]}
    manager.rotate()
    bootstrap.services.cache_clear()  # a function instance that starts now
    assert invoke("sessions/create_chat", headers=old, fields={"user": None}).status == 201
    # The new key signs only when every instance knows it; by then nobody need be asked again.
    ring = manager.ring()
    assert ring.signer(NOW.replace(year=9999)) == ring.current
