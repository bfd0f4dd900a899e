"""Live chats over fakes, and clients that hold connections to them."""

import json
from dataclasses import dataclass, field
from typing import Any

from parley.adapters.memory import MemoryConversations, MemoryCounter, MemoryDirectory
from parley.adapters.memory_sockets import (
    MemoryConnections,
    MemoryEventLog,
    MemorySockets,
    MemoryWorkers,
)
from parley.adapters.models.registry import BackEnds
from parley.adapters.system import RandomIds
from parley.dialects.tenant.frames import TenantFrames
from parley.domain.conversations import Conversation, Message, Scope
from parley.domain.errors import Unauthenticated
from parley.domain.ids import ConversationId
from parley.domain.routes import ModelRoute
from parley.domain.sockets import Answer, Greet, Refuse
from parley.domain.tenants import ApiKey, Caller, KeyKind, Limits, Tenant
from parley.services.credentials import Credentials
from parley.services.live import Handshake, LiveChats
from parley.services.turns import Turns
from tests.support.clock import ManualClock

KEY = "sk_test_live"


class OneKey:
    """Credentials that know one key."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def authenticate(self, key: str | None) -> Caller:
        if key != KEY:
            raise Unauthenticated("Incorrect API key provided.")
        return self._caller


@dataclass
class World:
    """Everything there is around live chats, in one process's memory."""

    clock: ManualClock
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        now = self.clock.now()
        self.tenant = Tenant(
            id="acme",
            created_at=now,
            models={"any": ModelRoute("scripted", "any")},
            limits=self.limits,
        )
        self.key = ApiKey(
            id="key-1", tenant="acme", kind=KeyKind.TEST, digest="digest", created_at=now
        )
        self.models = BackEnds()
        self.models.backend("scripted").context_window = 1_000_000
        self.directory = MemoryDirectory()
        self.store = MemoryConversations(self.clock)
        self.events = MemoryEventLog(self.clock)
        self.connections = MemoryConnections(self.clock)
        self.sockets = MemorySockets()
        self.workers = MemoryWorkers()
        self.scope = Scope("acme")
        self.chats = self.instance()

    def instance(self) -> LiveChats:
        """Another function instance over the same world."""
        caller = Caller(self.tenant, self.key.id, KeyKind.TEST, scopes=self.key.scopes)
        credentials: Credentials = OneKey(caller)  # type: ignore[assignment]  # all that is used
        return LiveChats(
            credentials=credentials,
            directory=self.directory,
            store=self.store,
            turns=Turns(self.store, self.models, self.clock, RandomIds()),
            counter=MemoryCounter(self.clock),
            events=self.events,
            connections=self.connections,
            sockets=self.sockets,
            workers=self.workers,
            wire=TenantFrames(),
            clock=self.clock,
            ids=RandomIds(),
        )

    async def begin(self, number: int = 7, user: str = "user-1") -> str:
        """A new chat; the first makes the tenant known, too."""
        await self.directory.put_tenant(self.tenant)
        await self.directory.put_key(self.key)
        now = self.clock.now()
        chat = Conversation(
            id=ConversationId(number), tenant="acme", user=user, created_at=now, updated_at=now
        )
        await self.store.create(chat)
        return str(chat.id)

    async def connect(
        self, chat: str, name: str = "c1", /, *, greet: bool = True, **changes: Any
    ) -> None:
        """A client's handshake and, once it has ended, its greeting."""
        fields = {"connection": name, "credential": KEY, "user": "user-1", "chat": chat}
        await self.chats.open(Handshake(**(fields | changes)))
        self.sockets.open[name] = []
        if greet:
            await self.work(Greet)

    async def say(self, text: str, name: str = "c1", **fields: Any) -> None:
        """What a client says."""
        await self.chats.receive(name, json.dumps({"content": text, **fields}))

    async def work(self, *kinds: type) -> None:
        """Do the jobs of these kinds, or all, one after the other."""
        wanted = kinds or (Greet, Refuse, Answer)
        for job in [job for job in self.workers.jobs if isinstance(job, wanted)]:
            self.workers.jobs.remove(job)
            await self.chats.perform(job)

    def heard(self, name: str = "c1") -> list[Any]:
        """What a client was told so far."""
        return self.sockets.sent(name)

    async def history(self, number: int = 7) -> tuple[Message, ...]:
        head = await self.store.get(self.scope, ConversationId(number))
        return await self.store.messages(head, first=1, last=head.message_count)


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events]


def text(events: list[Any]) -> str:
    """All that the token events say."""
    return "".join(e["content"] for e in events if e["type"] == "message_stream_token")
