"""The stores under test, and short ways to fill them."""

import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parley.adapters.dynamodb.client import Database, Tables
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.adapters.dynamodb.connections import DynamoConnections
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.dynamodb.counter import DynamoCounter
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.adapters.dynamodb.event_log import DynamoEventLog
from parley.adapters.dynamodb.personas import DynamoPersonas
from parley.adapters.dynamodb.requests import DynamoRequests
from parley.adapters.memory import (
    MemoryConversations,
    MemoryCounter,
    MemoryDirectory,
    MemoryPersonas,
)
from parley.adapters.memory_completions import MemoryCompletions
from parley.adapters.memory_sockets import MemoryConnections, MemoryEventLog
from parley.adapters.system import SystemClock
from parley.domain.conversations import (
    DEFAULT_USER,
    Conversation,
    FinishReason,
    Message,
    Role,
    Scope,
    Status,
    Usage,
)
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.sockets import ChatRef, Connection
from parley.domain.tenants import KeyKind
from parley.domain.tools import ToolResult
from parley.domain.turns import Checkpoint, Delta, TextDelta, UsageRecord
from parley.ports import (
    CompletionStore,
    Connections,
    ConversationStore,
    Counter,
    Directory,
    EventLog,
    PersonaStore,
    Requests,
)
from tests.support.clock import ManualClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_numbers = itertools.count(1000)


@dataclass(kw_only=True)
class Stores:
    """One implementation of the stores, in the hands of a tenant that nobody else uses."""

    conversations: ConversationStore
    requests: Requests
    directory: Directory
    counter: Counter
    personas: PersonaStore
    completions: CompletionStore
    events: EventLog
    connections: Connections
    clock: ManualClock
    settled: Callable[[str], Sequence[int]]
    """The numbers of the turns in a tenant's ledger."""
    tenant: str = field(default_factory=lambda: f"tenant-{uuid.uuid4()}")

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant)

    @property
    def chat(self) -> ChatRef:
        """A chat that nobody has spoken in."""
        return ChatRef(self.tenant, ConversationId(7))

    def connection(self, name: str, **fields: Any) -> Connection:
        """A connection to that chat; its id is nobody else's, too."""
        values: dict[str, Any] = {
            "id": f"{self.tenant}-{name}",
            "tenant": self.tenant,
            "conversation": self.chat.conversation,
            "user": DEFAULT_USER,
            "key_id": "key-1",
            "kind": KeyKind.TEST,
            "token_user": None,
            "slot": 0,
            "cursor": 0,
            "opened_at": self.clock.now(),
        }
        return Connection(**(values | fields))

    def new(self, **fields: Any) -> Conversation:
        """A conversation that isn't stored yet."""
        values: dict[str, Any] = {
            "id": ConversationId(next(_numbers)),
            "tenant": self.tenant,
            "user": DEFAULT_USER,
            "created_at": self.clock.now(),
            "updated_at": self.clock.now(),
        }
        return Conversation(**(values | fields))

    async def begin(self, **fields: Any) -> Conversation:
        """A stored conversation."""
        conversation = self.new(**fields)
        await self.conversations.create(conversation)
        return conversation

    async def append(
        self,
        conversation: Conversation,
        text: str = "Hello?",
        product_ids: tuple[int, ...] = (),
        tool_results: tuple[ToolResult, ...] = (),
        **how: Any,
    ) -> tuple[Message, Message]:
        return await self.conversations.append_turn(
            conversation,
            text=text,
            model="a-model",
            at=self.clock.now(),
            product_ids=product_ids,
            tool_results=tool_results,
            **how,
        )

    def completion(self, **fields: Any) -> Message:
        """The pending reply of a stateless completion that hasn't begun."""
        values: dict[str, Any] = {
            "id": completion_id(),
            "role": Role.ASSISTANT,
            "text": "",
            "status": Status.PENDING,
            "created_at": self.clock.now(),
            "model": "a-model",
        }
        return Message(**(values | fields))

    async def begin_completion(self, scope: Scope | None = None) -> Message:
        """The pending reply of a stateless completion."""
        reply = self.completion()
        await self.conversations.begin_completions(scope or self.scope, [reply])
        return reply

    async def settle(self, reply: Message, last: Checkpoint | None = None) -> bool:
        return await self.conversations.settle(reply, self.record(reply), last=last)

    def once(self, name: str = "key", fingerprint: str = "asked") -> Once:
        """A request that carries an idempotency key."""
        return Once(tenant=self.tenant, name=name, fingerprint=fingerprint)

    def grown(
        self,
        number: int,
        deltas: Sequence[Delta | str],
        *,
        shown: int = 0,
        shows: int | None = None,
    ) -> Checkpoint:
        """A checkpoint that isn't kept yet; all of its deltas are shown if nothing else is said."""
        return Checkpoint(
            number=number,
            shown=shown,
            deltas=tuple(TextDelta(each) if isinstance(each, str) else each for each in deltas),
            shows=len(deltas) if shows is None else shows,
            at=self.clock.now(),
        )

    async def take_turn(
        self, conversation: Conversation, text: str = "Hello?", answer: str = "Hi!"
    ) -> tuple[Message, Message]:
        """A whole turn, settled."""
        user, pending = await self.append(conversation, text)
        reply = finished(pending, answer)
        assert await self.settle(reply)
        return user, reply

    def record(self, reply: Message) -> UsageRecord:
        return UsageRecord(
            tenant=self.tenant,
            user=DEFAULT_USER,
            key_id="key-1",
            dialect="openai",
            turn=reply.id,
            model="a-model",
            status=reply.status,
            usage=reply.usage,
            at=self.clock.now(),
        )


def finished(reply: Message, text: str, **fields: Any) -> Message:
    """The final form of a pending reply."""
    values: dict[str, Any] = {
        "id": reply.id,
        "role": reply.role,
        "text": text,
        "status": Status.COMPLETED,
        "created_at": reply.created_at,
        "model": reply.model,
        "finish_reason": FinishReason.STOP,
        "usage": Usage(prompt_tokens=11, completion_tokens=7),
    }
    return Message(**(values | fields))


def in_memory(clock: ManualClock) -> Stores:
    conversations = MemoryConversations(clock)

    def settled(tenant: str) -> list[int]:
        return sorted(line.turn.number for line in conversations.ledger if line.tenant == tenant)

    return Stores(
        conversations=conversations,
        requests=conversations.requests,
        directory=MemoryDirectory(),
        counter=MemoryCounter(clock),
        personas=MemoryPersonas(),
        completions=MemoryCompletions(),
        events=MemoryEventLog(clock),
        connections=MemoryConnections(clock),
        clock=clock,
        settled=settled,
    )


def on_dynamodb(client: "DynamoDBClient", tables: Tables, clock: ManualClock) -> Stores:
    # Pauses take real time, and a busy test machine may need more of it than a service would.
    database = Database(client, SystemClock(), patience=90)

    def settled(tenant: str) -> list[int]:
        pages = client.get_paginator("scan").paginate(TableName=tables.ledger)
        lines = (item for page in pages for item in page["Items"] if "dialect" in item)
        prefix = f"T#{tenant}#"
        return sorted(int(line["sk"]["S"]) for line in lines if line["pk"]["S"].startswith(prefix))

    return Stores(
        conversations=DynamoConversations(database, tables, clock),
        requests=DynamoRequests(database, tables, clock),
        directory=DynamoDirectory(database, tables),
        counter=DynamoCounter(database, tables, clock),
        personas=DynamoPersonas(database, tables),
        completions=DynamoCompletions(database, tables),
        events=DynamoEventLog(database, tables, clock),
        connections=DynamoConnections(database, tables, clock),
        clock=clock,
        settled=settled,
    )


def completion_id() -> MessageId:
    """The id of a stateless completion that nobody else uses."""
    return MessageId(ConversationId(next(_numbers)), 1)


class NothingToErase:
    """An `Erasure` of tenants that aren't removed here."""

    async def erase_tenant(self, tenant: str, *, progress: Callable[[int], None]) -> None: ...

    async def erase_passing(self, tenant: str, user: str, **of: Any) -> None: ...
