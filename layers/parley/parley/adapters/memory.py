"""The stores in the memory of one process, for tests: they keep every promise but durability."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from threading import RLock

from parley.adapters.memory_accounts import MemoryAccounts
from parley.adapters.memory_journal import MemoryJournal
from parley.adapters.memory_requests import MemoryRequests
from parley.domain.apps import App
from parley.domain.conversations import (
    Conversation,
    Message,
    Origin,
    Page,
    Rating,
    Role,
    Scope,
    Status,
)
from parley.domain.errors import Conflict, ConversationFull, NotFound, TurnInProgress
from parley.domain.holds import Account, Balance
from parley.domain.ids import MAX_SEQUENCE, ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.personas import Persona, PersonaVersion
from parley.domain.tenants import ApiKey, Tenant
from parley.domain.tools import ToolResult
from parley.domain.turns import FORGOTTEN, Checkpoint, UsageRecord
from parley.ports import Clock

COMPLETION_LIFETIME = timedelta(days=1)

_Name = tuple[str, ConversationId]


class MemoryConversations:
    """The `ConversationStore` in memory, safe to use from many threads.

    Attributes:
        ledger: the usage records of all settled turns, in the order of settling.
        requests: the `Requests` that this store notes in what it begins.
    """

    def __init__(self, clock: Clock) -> None:
        self.ledger: list[UsageRecord] = []
        self.requests = MemoryRequests(clock)
        self._clock = clock
        self._lock = self.requests.lock
        self._journal = MemoryJournal(clock)
        self._accounts = MemoryAccounts()
        self._heads: dict[_Name, Conversation] = {}
        self._messages: dict[_Name, list[Message]] = {}
        self._aliases: dict[tuple[str, str], ConversationId] = {}
        self._users: set[tuple[str, str]] = set()
        self._to_stop: set[tuple[str, MessageId]] = set()
        self._billed: set[tuple[str, MessageId]] = set()
        self._completions: dict[tuple[str, MessageId], tuple[str | None, datetime, Message]] = {}

    async def create(self, conversation: Conversation, *, once: Once | None = None) -> None:
        """Keep a new conversation."""
        name = (conversation.tenant, conversation.id)
        with self._lock:
            self.requests.check(once, begins_conversation=True)
            if name in self._heads:
                raise Conflict("This conversation id is taken.")
            if conversation.alias is not None:
                alias = (conversation.tenant, conversation.alias)
                if alias in self._aliases:
                    raise Conflict("This alias is taken.")
                self._aliases[alias] = conversation.id
            self._heads[name] = _copy(conversation)
            self._messages[name] = []
            self.requests.note(once, conversation.id, ())

    async def get(self, scope: Scope, conversation: ConversationId) -> Conversation:
        """Read a conversation's head."""
        with self._lock:
            return self._head(scope, conversation)

    async def get_with_newest(
        self, scope: Scope, conversation: ConversationId, limit: int
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """Read a conversation's head and its newest messages."""
        with self._lock:
            head = self._head(scope, conversation)
            messages = self._messages[head.tenant, head.id]
            return head, tuple(messages[max(len(messages) - limit, 0) :])

    async def list_conversations(
        self,
        scope: Scope,
        user: str,
        *,
        limit: int,
        after: ConversationId | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Conversation]:
        """List a user's conversations in order of creation."""
        if not scope.covers(user):
            return Page((), has_more=False)
        with self._lock:
            listed = self._listed(scope, user, newest_first=newest_first)
            if after is not None:
                if after not in (head.id for head in listed):
                    raise NotFound("No such conversation.")
                offset += [head.id for head in listed].index(after) + 1
            return Page(
                tuple(_copy(head) for head in listed[offset : offset + limit]),
                has_more=len(listed) > offset + limit,
            )

    async def count_conversations(self, scope: Scope, user: str) -> int:
        """How many conversations a user has."""
        if not scope.covers(user):
            return 0
        with self._lock:
            return len(self._listed(scope, user, newest_first=False))

    async def delete(self, scope: Scope, conversation: ConversationId) -> None:
        """Remove a conversation with all its messages."""
        with self._lock:
            head = self._head(scope, conversation)
            del self._heads[head.tenant, head.id]
            for message in self._messages.pop((head.tenant, head.id)):
                self._to_stop.discard((head.tenant, message.id))
                self._journal.forget(head.tenant, message.id)
            if head.alias is not None:
                del self._aliases[head.tenant, head.alias]

    async def messages(
        self, conversation: Conversation, *, first: int, last: int
    ) -> tuple[Message, ...]:
        """Read the messages numbered `first` to `last`."""
        first = max(first, 1)
        if first > last:
            return ()
        with self._lock:
            messages = self._messages.get((conversation.tenant, conversation.id), [])
            found = tuple(messages[first - 1 : last])
        if len(found) < min(last, conversation.message_count) - first + 1:
            raise NotFound("No such conversation.")
        return found

    async def get_message(self, scope: Scope, message: MessageId) -> tuple[Conversation, Message]:
        """Read one message and its conversation's head."""
        with self._lock:
            return self._message(scope, message)

    async def unfinished_deletions(
        self,
        scope: Scope,  # noqa: ARG002 - see below
        user: str,  # noqa: ARG002 - see below
    ) -> tuple[ConversationId, ...]:
        """None, whosever, as here nothing interrupts a deletion."""
        return ()

    async def forget_user(self, tenant: str, user: str) -> None:
        """Forget that a user was seen."""
        self._users.discard((tenant, user))

    async def find_alias(self, scope: Scope, alias: str) -> ConversationId | None:
        """The conversation that another system knew under this id."""
        with self._lock:
            found = self._aliases.get((scope.tenant, alias))
            if found is None or not scope.covers(self._heads[scope.tenant, found].user):
                return None
            return found

    async def rename(self, scope: Scope, conversation: ConversationId, title: str) -> None:
        """Give a conversation another title."""
        with self._lock:
            head = self._head(scope, conversation)
            self._heads[head.tenant, head.id] = replace(head, title=title)

    async def rate(self, scope: Scope, message: MessageId, rating: Rating | None) -> None:
        """Note a user's opinion of a reply."""
        with self._lock:
            reply = self._reply(scope, message)
            self._replace(scope.tenant, replace(reply, rating=rating))

    async def see_user(self, tenant: str, user: str) -> bool:
        """Note that a user was seen."""
        with self._lock:
            is_new = (tenant, user) not in self._users
            self._users.add((tenant, user))
            return is_new

    async def append_turn(
        self,
        conversation: Conversation,
        *,
        text: str,
        model: str,
        at: datetime,
        product_ids: tuple[int, ...] = (),
        tool_results: tuple[ToolResult, ...] = (),
        origin: Origin | None = None,
        once: Once | None = None,
        alone: bool = False,
    ) -> tuple[Message, Message]:
        """Append a user's message and a pending reply."""
        with self._lock:
            self.requests.check(once)
            head = self._head(Scope(conversation.tenant), conversation.id)
            if head.message_count != conversation.message_count:
                if alone:
                    raise TurnInProgress("Another turn of this conversation isn't over yet.")
                if tool_results:
                    raise Conflict("Something else was said in this conversation in the meantime.")
            count = head.message_count + 2
            if count > MAX_SEQUENCE:
                raise ConversationFull("This conversation is full. Please start a new one.")
            user = Message(
                id=MessageId(head.id, count - 1),
                role=Role.TOOL if tool_results else Role.USER,
                text=text,
                status=Status.COMPLETED,
                created_at=at,
                tool_results=tool_results,
            )
            reply = Message(
                id=MessageId(head.id, count),
                role=Role.ASSISTANT,
                text="",
                status=Status.PENDING,
                created_at=at,
                model=model,
                product_ids=product_ids,
                origin=_copy_origin(origin),
            )
            self._accounts.take(head.tenant, [reply])
            self._messages[head.tenant, head.id] += [user, reply]
            self._heads[head.tenant, head.id] = replace(head, message_count=count, updated_at=at)
            self.requests.note(once, head.id, [reply.id])
            return user, reply

    async def begin_completions(
        self, scope: Scope, replies: Sequence[Message], *, once: Once | None = None
    ) -> None:
        """Keep the pending replies of stateless completions for a day."""
        with self._lock:
            self.requests.check(once)
            begun = {
                (scope.tenant, reply.id): (
                    scope.user,
                    reply.created_at + COMPLETION_LIFETIME,
                    replace(reply, origin=_copy_origin(reply.origin)),
                )
                for reply in replies
            }
            taken = {name: self._completions[name] for name in begun if name in self._completions}
            # A single write that is repeated can't be told from the first one.
            is_single = len(replies) == 1 and once is None
            is_as_it_was = taken == begun and taken.keys().isdisjoint(self._to_stop)
            if taken and not (is_single and is_as_it_was):
                raise Conflict("This completion id is taken.")
            if not taken:
                self._accounts.take(scope.tenant, replies)
            self._completions |= begun
            self.requests.note(once, None, [reply.id for reply in replies])

    async def request_stop(self, scope: Scope, reply: MessageId) -> None:
        """Ask whoever runs this turn to stop it."""
        with self._lock:
            if reply.is_completion:
                asked = self._completion(scope, reply, missing="No such message.")
            else:
                asked = self._reply(scope, reply)
            if asked.status is Status.PENDING:
                self._to_stop.add((scope.tenant, reply))

    async def stop_requested(self, tenant: str, reply: MessageId) -> bool:
        """Whether whoever runs this turn is to end it."""
        with self._lock:
            found = self._any(tenant, reply)
            is_pending = found is not None and found.status is Status.PENDING
            return not is_pending or (tenant, reply) in self._to_stop

    async def checkpoint(self, tenant: str, reply: MessageId, checkpoint: Checkpoint) -> None:
        """Keep what a reply grew by."""
        with self._lock:
            self._journal.add(tenant, reply, checkpoint)

    async def checkpoints(
        self, tenant: str, reply: MessageId, *, after: int = 0
    ) -> tuple[Checkpoint, ...]:
        """Read what a reply has grown by."""
        with self._lock:
            return self._journal.read(tenant, reply, after=after)

    async def last_sign(self, tenant: str, reply: MessageId) -> datetime | None:
        """When whoever runs this turn last kept something of it."""
        with self._lock:
            return self._journal.last_sign(tenant, reply)

    async def settle(
        self, reply: Message, record: UsageRecord, *, last: Checkpoint | None = None
    ) -> bool:
        """Replace a pending reply by its final form."""
        tenant = record.tenant
        with self._lock:
            pending = self._any(tenant, reply.id)
            if pending is None:
                self._journal.forget(tenant, reply.id)
                expires_at = reply.created_at + COMPLETION_LIFETIME
                may_have_expired = reply.id.is_completion and record.at >= expires_at
                is_reply = reply.role is Role.ASSISTANT
                if is_reply and not (may_have_expired or (tenant, reply.id) in self._billed):
                    self._bill(reply, replace(record, user=FORGOTTEN))
                return False
            if pending.status is not Status.PENDING:
                return False
            settled = _settled(pending, reply)
            if reply.id.is_completion:
                user, _, _ = self._completions[tenant, reply.id]
                until = record.at + COMPLETION_LIFETIME
                self._completions[tenant, reply.id] = (user, until, settled)
            else:
                self._replace(tenant, settled)
            self._bill(reply, record)
            if last is not None:
                self._journal.add(tenant, reply.id, last)
            return True

    async def holders(
        self, tenant: str, *, before: datetime
    ) -> tuple[tuple[MessageId, datetime], ...]:
        """Turns that hold something; oldest first."""
        with self._lock:
            return self._accounts.oldest(tenant, before)

    async def release(
        self,
        tenant: str,
        turn: MessageId,
        *,
        since: datetime,  # noqa: ARG002 - nothing has to be found by it here
    ) -> bool:
        """Give back what a turn holds."""
        with self._lock:
            return self._accounts.release(tenant, turn)

    async def balance(self, tenant: str, account: Account) -> Balance:
        """How an account stands."""
        with self._lock:
            return self._accounts.balance(tenant, account)

    async def get_completion(self, scope: Scope, completion: MessageId) -> Message:
        """Read a stateless completion's reply."""
        with self._lock:
            return self._completion(scope, completion, missing="No such completion.")

    def _bill(self, reply: Message, record: UsageRecord) -> None:
        self._billed.add((record.tenant, reply.id))
        self.ledger.append(record)
        self._accounts.settle(reply, record)

    def _head(self, scope: Scope, conversation: ConversationId) -> Conversation:
        head = self._heads.get((scope.tenant, conversation))
        if head is None or not scope.covers(head.user):
            raise NotFound("No such conversation.")
        return _copy(head)

    def _found(self, tenant: str, message: MessageId) -> Message | None:
        messages = self._messages.get((tenant, message.conversation), [])
        return messages[message.sequence - 1] if 0 < message.sequence <= len(messages) else None

    def _message(self, scope: Scope, message: MessageId) -> tuple[Conversation, Message]:
        head = self._heads.get((scope.tenant, message.conversation))
        found = self._found(scope.tenant, message)
        if head is None or found is None or not scope.covers(head.user):
            raise NotFound("No such message.")
        return _copy(head), found

    def _reply(self, scope: Scope, message: MessageId) -> Message:
        _, found = self._message(scope, message)
        if found.role is not Role.ASSISTANT:
            raise NotFound("No such message.")
        return found

    def _completion(self, scope: Scope, completion: MessageId, *, missing: str) -> Message:
        kept = self._completions.get((scope.tenant, completion))
        if (
            kept is None
            or kept[1] <= self._clock.now()
            or (scope.user is not None and kept[0] != scope.user)
        ):
            raise NotFound(missing)
        return kept[2]

    def _any(self, tenant: str, reply: MessageId) -> Message | None:
        """A reply of a conversation, or a stateless completion's, that may have expired."""
        if not reply.is_completion:
            return self._found(tenant, reply)
        _, _, found = self._completions.get((tenant, reply), (None, None, None))
        return found

    def _replace(self, tenant: str, message: Message) -> None:
        self._messages[tenant, message.id.conversation][message.id.sequence - 1] = message

    def _listed(self, scope: Scope, user: str, *, newest_first: bool) -> list[Conversation]:
        mine: Iterable[Conversation] = (
            head
            for head in self._heads.values()
            if head.tenant == scope.tenant and head.user == user
        )
        return sorted(mine, key=lambda head: (head.created_at, head.id), reverse=newest_first)


class MemoryDirectory:
    """The `Directory` in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._keys_by_id: dict[tuple[str, str], ApiKey] = {}
        self._tenants: dict[str, Tenant] = {}
        self._apps: dict[str, App] = {}

    async def find_key(self, digest: str) -> ApiKey | None:
        """The key with this digest."""
        return self._keys.get(digest)

    async def get_key(self, tenant: str, key_id: str) -> ApiKey | None:
        """A tenant's key by its id."""
        return self._keys_by_id.get((tenant, key_id))

    async def get_tenant(self, tenant: str) -> Tenant | None:
        """The tenant of this id."""
        return self._tenants.get(tenant)

    async def list_tenants(self) -> tuple[Tenant, ...]:
        """All tenants, by id."""
        return tuple(tenant for _, tenant in sorted(self._tenants.items()))

    async def put_tenant(self, tenant: Tenant) -> None:
        """Create or replace a tenant."""
        self._tenants[tenant.id] = tenant

    async def create_tenant(self, tenant: Tenant) -> None:
        """Keep a new tenant."""
        if tenant.id in self._tenants:
            raise Conflict(f"There is a tenant {tenant.id} already.", param="id")
        self._tenants[tenant.id] = tenant

    async def change_tenant(self, tenant: Tenant) -> None:
        """Replace a tenant."""
        stored = self._tenants.get(tenant.id)
        if stored is None or stored.revision != tenant.revision - 1:
            raise Conflict(f"{tenant.id} was changed in the meantime.")
        self._tenants[tenant.id] = tenant

    async def remove_tenant(self, tenant: str) -> None:
        """Remove a tenant's record."""
        stored = self._tenants.get(tenant)
        if stored is not None and stored.deleted_at is not None:
            del self._tenants[tenant]

    async def get_app(self, tenant: str) -> App | None:
        """The tenant's app."""
        return self._apps.get(tenant)

    async def put_app(self, tenant: str, app: App) -> None:
        """Create or replace a tenant's app."""
        self._apps[tenant] = app

    async def list_keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys by time of creation."""
        listed = [key for (owner, _), key in sorted(self._keys_by_id.items()) if owner == tenant]
        return tuple(sorted(listed, key=lambda key: key.created_at))

    async def put_key(self, key: ApiKey) -> None:
        """Create or replace a key."""
        self._keys[key.digest] = self._keys_by_id[key.tenant, key.id] = key

    async def change_key(self, key: ApiKey, *, successor: ApiKey | None = None) -> None:
        """Replace a key, and keep the new one."""
        stored = self._keys_by_id.get((key.tenant, key.id))
        if stored is None or stored.revision != key.revision - 1:
            raise Conflict(f"The key {key.id} was changed in the meantime.")
        for each in (key, successor):
            if each is not None:
                await self.put_key(each)


class MemoryPersonas:
    """The `PersonaStore` in memory."""

    def __init__(self) -> None:
        self._personas: dict[tuple[str, int], Persona] = {}
        self._versions: dict[tuple[str, int, int], PersonaVersion] = {}

    async def create_persona(self, persona: Persona) -> None:
        """Keep a new persona and its alias."""
        taken = persona.alias in (each.alias for each in await self.list_personas(persona.tenant))
        if taken or (persona.tenant, persona.id) in self._personas:
            raise Conflict("The tenant has a persona of this id or alias.")
        self._personas[persona.tenant, persona.id] = persona

    async def get_persona(self, tenant: str, persona_id: int) -> Persona | None:
        """A persona with its work in progress."""
        return self._personas.get((tenant, persona_id))

    async def find_persona(self, tenant: str, alias: str) -> tuple[int, int] | None:
        """The id of the persona with this alias and the number of its newest version."""
        for persona in await self.list_personas(tenant):
            if persona.alias == alias:
                return persona.id, persona.latest
        return None

    async def list_personas(self, tenant: str) -> tuple[Persona, ...]:
        """All personas of a tenant."""
        return tuple(
            persona for (owner, _), persona in sorted(self._personas.items()) if owner == tenant
        )

    async def change_persona(self, persona: Persona, version: PersonaVersion | None = None) -> None:
        """Replace a persona, and keep the version that was just submitted."""
        stored = self._personas.get((persona.tenant, persona.id))
        if stored is None or stored.revision != persona.revision - 1:
            raise Conflict("The persona was changed in the meantime.")
        self._personas[persona.tenant, persona.id] = persona
        if version is not None:
            self._versions[persona.tenant, persona.id, version.number] = version

    async def get_persona_version(
        self, tenant: str, persona_id: int, number: int
    ) -> PersonaVersion | None:
        """A submitted version."""
        return self._versions.get((tenant, persona_id, number))


class MemoryCounter:
    """The `Counter` in memory, safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = RLock()
        self._counted: dict[tuple[str, int, int], int] = {}

    async def admit(self, name: str, *, limit: int, window: int) -> tuple[bool, int, float]:
        """Count one event of `name`."""
        now = self._clock.now().timestamp()
        start = int(now // window) * window
        left = start + window - now
        with self._lock:
            counted = self._counted.get((name, window, start), 0)
            if counted >= limit:
                return False, 0, left
            self._counted[name, window, start] = counted + 1
            return True, limit - counted - 1, left


def _copy(conversation: Conversation) -> Conversation:
    """An equal value that shares nothing; mappings go through JSON, as in every store."""
    return replace(
        conversation,
        metadata=json.loads(json.dumps(dict(conversation.metadata))),
        inputs=json.loads(json.dumps(dict(conversation.inputs))),
    )


def _copy_origin(origin: Origin | None) -> Origin | None:
    """An equal value that shares nothing."""
    if origin is None:
        return None
    return replace(origin, telling=json.loads(json.dumps(dict(origin.telling))))


def _settled(pending: Message, final: Message) -> Message:
    """The final form of a pending reply, with all that its end doesn't decide."""
    return replace(
        final,
        role=pending.role,
        created_at=pending.created_at,
        model=final.model or pending.model,
        origin=pending.origin,
        product_ids=pending.product_ids,
        rating=pending.rating,
    )
