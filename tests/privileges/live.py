"""Live chats of tenants of their own, and what their functions do for them."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from websockets.sync.client import ClientConnection, connect

from parley import bootstrap
from parley.adapters.dynamodb.connections import DynamoConnections
from parley.adapters.dynamodb.event_log import DynamoEventLog
from parley.adapters.workers import to_payload
from parley.domain.conversations import Conversation, Scope, Status
from parley.domain.ids import ConversationId, MessageId
from parley.domain.routes import ModelRoute
from parley.domain.sockets import (
    BEGINNING,
    ChatRef,
    Connection,
    Job,
    Slot,
)
from parley.domain.tenants import ApiKey, Caller, KeyKind, Limits, Tenant
from parley.services.credentials import digest
from tests.privileges.deployment import EVENTS, PATIENCE, Deployment
from tests.routes.conftest import NOW
from tests.routes.test_rights import LONG, leave_dead

KEY_ID = "key"
USER = "user-81"
SLOTS = 1
MODEL = "wesen-chat-v1"

LONG_REPLY = f'script:[{{"text": "{"r" * 4000}", "repeat": {LONG // 4000}}}]'
"""What the scripted model answers with more than one item of a table holds."""


class LiveChat:
    """A chat of a tenant of its own, and the client that may connect to it.

    The tenant's one slot for connections belongs to one that is gone, so nobody gets in without
    finding that out; and its turns hold something of every limit.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._services = bootstrap.services()
        basics = self._services.basics
        stored = (basics.database, basics.tables, basics.clock)
        self._connections, self._events = DynamoConnections(*stored), DynamoEventLog(*stored)
        self._key = f"sk_test_{secrets.token_hex(8)}"
        self._tenant = Tenant(
            id=f"live-{secrets.token_hex(4)}",
            created_at=NOW,
            models={MODEL: ModelRoute("scripted", "scripted")},
            limits=Limits(connections=SLOTS, tokens_per_minute=10**9, concurrent_turns=3),
            budget=Decimal(1),
        )
        self._chat = Conversation(
            id=ConversationId(4711),
            tenant=self._tenant.id,
            user=USER,
            created_at=NOW,
            updated_at=NOW,
        )
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        key = ApiKey(
            id=KEY_ID,
            tenant=self._tenant.id,
            kind=KeyKind.TEST,
            digest=digest(self._deployment.pepper, self._key),
            created_at=NOW,
        )
        await self._services.directory.put_tenant(self._tenant)
        await self._services.directory.put_key(key)
        await self._services.store.create(self._chat)
        gone = Connection(
            id="gone-" + self._tenant.id,
            tenant=self._tenant.id,
            conversation=self._chat.id,
            user=USER,
            key_id=KEY_ID,
            kind=KeyKind.TEST,
            token_user=None,
            slot=0,
            cursor=BEGINNING,
            opened_at=self._services.basics.clock.now() - timedelta(minutes=1),
        )
        await self._connections.take_slot(gone.tenant, gone.id, limit=SLOTS, at=gone.opened_at)
        await self._connections.register(gone)

    def connect(self, *, origin: str | None = None, **changes: str) -> ClientConnection:
        """Open a connection, as a browser does where it has an origin.

        Raises:
            InvalidStatus: it was refused.
        """
        query = {"api_key": self._key, "user_id": USER, "chat_id": str(self._chat.id)} | changes
        return connect(
            f"{self._deployment.stage('SocketApi').replace('http', 'ws', 1)}?{urlencode(query)}",
            additional_headers={"Origin": origin} if origin else {},
            open_timeout=PATIENCE,
            max_size=None,
            max_queue=None,  # a client that doesn't read can't close, either
        )

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for the length of a block, of a client that has been greeted."""
        with self.connect() as client:
            hear(client, "connection_established")
            hear(client, "user_created")
            [slot] = self.slots()
            found = asyncio.run(self._connections.find(slot.connection))
            assert found is not None
            yield found

    def leave_dead(self) -> None:
        """Have a turn in the chat whose function has died, with more than one item holds."""
        with asyncio.Runner() as runner:
            leave_dead(self._services, runner.get_loop(), self._chat)

    def ask(self, text: str) -> MessageId:
        """Have a message in the chat that waits for its reply, whose id this is."""
        caller = Caller(self._tenant, KEY_ID, KeyKind.TEST)
        accepting = self._services.turns.accept(
            caller, self._chat.id, dialect="tenant", text=text, once=None
        )
        _, reply, _ = asyncio.run(accepting)
        return reply.id

    def slots(self) -> tuple[Slot, ...]:
        """The tenant's slots that are taken."""
        return asyncio.run(self._connections.slots(self._tenant.id))

    def told(self) -> set[type]:
        """The kinds of what happened in the chat."""
        reading = self._events.read(
            ChatRef(self._tenant.id, self._chat.id), after=BEGINNING, limit=1000
        )
        entries, _ = asyncio.run(reading)
        return {type(entry.event) for entry in entries}

    def status(self, reply: MessageId) -> Status:
        """How far a reply is."""
        store = self._services.store
        scope = Scope(self._tenant.id)

        async def read() -> Status:
            head = await store.get(scope, self._chat.id)
            messages = await store.messages(head, first=1, last=head.message_count)
            [status] = [message.status for message in messages if message.id == reply]
            return status

        return asyncio.run(read())

    def happens(self, function: str, connection: str, **changes: str) -> bool:
        """Tell a function of an event on a connection; whether it has gone well."""
        event = EVENTS[f"sockets/{function.lower()}"]
        context = event["requestContext"] | {"connectionId": connection}
        asked = {**event, **changes, "requestContext": context}
        return bool(self._deployment.invoke(function, asked)["statusCode"] == 200)

    def works(self, job: Job) -> bool:
        """Have the worker do a job; whether it has gone well."""
        return self._deployment.does("Reply", json.loads(to_payload(job)))


def hear(client: ClientConnection, kind: str) -> Mapping[str, Any]:
    """What a client is told next of a kind."""
    while True:
        told: dict[str, Any] = json.loads(client.recv(timeout=PATIENCE))
        if told["type"] == kind:
            return told
