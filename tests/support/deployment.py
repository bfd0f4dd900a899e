"""A deployment for tests that kill: one store, any number of processes, tenants of their own."""

import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from local import TEMPLATE
from local.environment import of_functions
from local.provision import create_secrets
from local.template import load
from parley.adapters.aws import CONFIG
from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.adapters.dynamodb.ledger import DynamoLedger
from parley.adapters.system import RandomIds, SystemClock
from parley.domain.conversations import Message, Role, Status
from parley.domain.ids import ConversationId, MessageId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import ApiKey, Caller, KeyKind, Limits, Tenant, TurnRules
from parley.domain.turns import LEASE_SECONDS, UsageRecord
from parley.services.conversations import Conversations
from parley.services.credentials import digest
from parley.services.turns.recovery import Recovery
from parley.settings import Settings
from tests.support.serving import Process, Zygote
from tests.support.zygote import ClockAhead

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PAST_THE_LEASE = LEASE_SECONDS + 10
"""Seconds after which nobody takes a turn for alive whose process is dead."""

SCRIPTED = ModelRoute("scripted", "any")

_numbers = itertools.count(1)


class Deployment:
    """Tables, secrets, and processes that serve the product against them."""

    def __init__(self, url: str, client: "DynamoDBClient", tables: Tables, folder: Path) -> None:
        """Fill the store with what a deployment needs to answer anybody."""
        self.url = url
        self.tables = tables
        self.database = Database(client, SystemClock())
        environment = of_functions(load(TEMPLATE), {}, url)
        secrets = boto3.client(
            "secretsmanager",
            endpoint_url=url,
            config=CONFIG,
            region_name=environment["AWS_REGION"],
        )
        create_secrets(load(TEMPLATE), secrets)
        name = Settings.from_environment(environment).pepper_secret
        self._pepper = secrets.get_secret_value(SecretId=name)["SecretString"]
        secrets.close()
        self.zygote = Zygote(folder, environment)

    async def customer(self, *, model: ModelRoute = SCRIPTED, **rules: Any) -> "Customer":
        """A new tenant with its key and one model, called `any`."""
        name = f"tenant-{uuid.uuid4()}"
        now = SystemClock().now()
        tenant = Tenant(
            id=name,
            created_at=now,
            models={"any": model},
            limits=Limits(requests_per_minute=1_000_000, messages_per_second=1_000),
            turns=TurnRules(**rules),
        )
        key = f"sk_test_{name}"
        directory = DynamoDirectory(self.database, self.tables)
        await directory.put_tenant(tenant)
        await directory.put_key(
            ApiKey(
                id=f"key_{name}",
                tenant=name,
                kind=KeyKind.TEST,
                digest=digest(self._pepper, key),
                created_at=now,
            )
        )
        return Customer(self, tenant, key)


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant, and what is stored of it."""

    deployment: Deployment
    tenant: Tenant
    key: str

    @property
    def caller(self) -> Caller:
        """As which its key makes a caller known."""
        return Caller(self.tenant, f"key_{self.tenant.id}", KeyKind.TEST)

    def store(self, *, ahead: float = 0) -> DynamoConversations:
        """The store as a process sees it whose clock is ahead by so many seconds."""
        return DynamoConversations(
            self.deployment.database, self.deployment.tables, ClockAhead(ahead)
        )

    def conversations(self, *, ahead: float = 0) -> Conversations:
        """The use cases of conversations in a process whose clock is ahead."""
        return Conversations(self.store(ahead=ahead), ClockAhead(ahead), RandomIds())

    async def conversation(self) -> ConversationId:
        """A new conversation."""
        return (await self.conversations().create(self.caller)).id

    async def history(
        self, conversation: ConversationId, *, ahead: float = PAST_THE_LEASE
    ) -> Sequence[Message]:
        """All messages as a reader sees them; unless told otherwise, when all leases are over."""
        use = self.conversations(ahead=ahead)
        messages: list[Message] = []
        has_more = True
        while has_more:
            _, page = await use.history(self.caller, conversation, limit=1000, offset=len(messages))
            messages += page.items
            has_more = page.has_more
        return messages

    async def completion(self, turn: MessageId) -> Message:
        """The reply of a stateless completion, as a reader sees it when all leases are over."""
        store = self.store(ahead=PAST_THE_LEASE)
        reply = await store.get_completion(self.caller.scope, turn)
        return await Recovery(store, ClockAhead(PAST_THE_LEASE)).mend(self.tenant.id, reply)

    async def ledger(self) -> Sequence[UsageRecord]:
        """The lines of all its turns."""
        ledger = DynamoLedger(self.deployment.database, self.deployment.tables)
        now = SystemClock().now()
        days = {
            (now + timedelta(seconds=moved)).date() for moved in (-3600, 0, PAST_THE_LEASE, 3600)
        }
        return [
            line
            for day in sorted(days)
            async for lines in ledger.lines(self.tenant.id, day)
            for line in lines
        ]

    @asynccontextmanager
    async def client(self, process: Process) -> AsyncIterator[httpx.AsyncClient]:
        """A client of one process, with the key."""
        async with httpx.AsyncClient(
            base_url=process.url,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=60,
            limits=httpx.Limits(max_connections=None),
        ) as client:
            yield client


def check_well_formed(messages: Sequence[Message]) -> None:
    """Assert what holds of every history that nobody works at: whole turns, in one order, ended."""
    assert [message.id.sequence for message in messages] == list(range(1, len(messages) + 1))
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT] * (
        len(messages) // 2
    )
    assert Status.PENDING not in {message.status for message in messages}


def check_counted_once(
    ledger: Sequence[UsageRecord], replies: Sequence[Message], *others: MessageId
) -> None:
    """Assert that each of these turns has one line, with the reply's status, and nothing else has.

    Args:
        others: turns whose replies aren't among these.
    """
    lines = {line.turn: line for line in ledger}
    assert len(lines) == len(ledger)
    assert set(lines) == {reply.id for reply in replies} | set(others)
    for reply in replies:
        assert lines[reply.id].status is reply.status
        line = lines[reply.id]
        assert line.usage == reply.usage or (reply.usage is None and line.estimated)
