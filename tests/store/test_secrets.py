"""What `Secrets` promises, and the system's own sources of time and chance."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from parley.adapters.aws import CONFIG
from parley.adapters.secrets import CACHED_SECONDS, MemorySecrets, SecretsManager
from parley.adapters.system import RandomIds, SystemClock
from parley.domain.errors import StoreUnavailable
from parley.domain.ids import CONVERSATION_BITS
from parley.ports import Secrets, SecretVault
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "moto"])
def secrets(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[SecretVault]:
    if request.param == "memory":
        yield MemorySecrets({"pepper": "first"})
        return
    with mock_aws():
        client = boto3.client("secretsmanager", config=CONFIG)
        client.create_secret(Name="pepper", SecretString="first")
        client.create_secret(Name="binary", SecretBinary=b"\x00")
        yield SecretsManager(client, clock)
        client.close()


async def test_a_secret_is_read_by_its_name(secrets: Secrets) -> None:
    assert await secrets.get("pepper") == "first"
    assert await secrets.get("pepper") == "first"


async def test_a_secret_is_made_and_replaced(secrets: SecretVault) -> None:
    for name in ("stack/upstreams/new", "pepper"):
        await secrets.put(name, "second")
        assert await secrets.get(name) == "second"


@pytest.mark.parametrize("name", ["missing", "binary"])
async def test_what_cannot_be_read_as_text_is_unavailable(secrets: Secrets, name: str) -> None:
    with pytest.raises(StoreUnavailable):
        await secrets.get(name)


async def test_a_changed_secret_is_noticed_within_minutes(clock: ManualClock) -> None:
    with mock_aws():
        client = boto3.client("secretsmanager", config=CONFIG)
        client.create_secret(Name="pepper", SecretString="first")
        secrets = SecretsManager(client, clock)
        await secrets.get("pepper")
        client.put_secret_value(SecretId="pepper", SecretString="second")
        clock.advance(CACHED_SECONDS - 1)
        assert await secrets.get("pepper") == "first"
        clock.advance(1)
        assert await secrets.get("pepper") == "second"
        client.close()


async def test_a_failure_is_told_in_the_log_and_not_cached(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with mock_aws():
        client = boto3.client("secretsmanager", config=CONFIG)
        secrets = SecretsManager(client, clock)
        with pytest.raises(StoreUnavailable):
            await secrets.get("pepper")
        assert caplog.messages == ["AWS refused GetSecretValue: ResourceNotFoundException"]
        client.create_secret(Name="pepper", SecretString="late")
        assert await secrets.get("pepper") == "late"
        client.close()


def test_the_systems_clock_tells_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    offset = clock.now().utcoffset()
    assert offset is not None
    assert not offset
    assert clock.monotonic() <= clock.monotonic()


def test_random_ids_are_in_range_and_differ() -> None:
    ids = RandomIds()
    numbers = {ids.conversation().number for _ in range(1_000)}
    assert len(numbers) > 990
    assert all(0 < number < 1 << CONVERSATION_BITS for number in numbers)
    secrets = {ids.secret() for _ in range(100)}
    assert {len(secret) for secret in secrets} == {43}
    assert len(secrets) == 100
