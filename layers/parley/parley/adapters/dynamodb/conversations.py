"""Conversations, messages and turns on DynamoDB."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys, texts
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Contended,
    Database,
    Tables,
    Write,
    assignments,
    delete,
    put,
    put_new,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.conversations import Conversation, Message, Page, Role, Scope, Status
from parley.domain.errors import Conflict, ConversationFull, NotFound, StoreUnavailable
from parley.domain.ids import MAX_SEQUENCE, ConversationId, MessageId
from parley.domain.turns import UsageRecord
from parley.ports import Clock

COMPLETION_LIFETIME = timedelta(days=1)
"""How long the reply of a stateless completion is kept."""

_HAS_PROMPT = "prompt"
"""Attribute of a head, and of its entry in the list, beside which there is a prompt."""

_READS_FOR_A_SNAPSHOT = 5


class DynamoConversations:
    """The `ConversationStore` on DynamoDB."""

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._tables = tables
        self._table = tables.conversations
        self._clock = clock

    # Conversations -----------------------------------------------------------------------------

    @in_thread
    def create(self, conversation: Conversation) -> None:
        """Keep a new conversation: its head, its prompt and its entry in the user's list."""
        tenant = conversation.tenant
        head, entry = items.from_conversation(conversation), Item()
        writes: list[Write] = []
        if conversation.system_prompt is not None:
            head[_HAS_PROMPT] = entry[_HAS_PROMPT] = 1
            key = keys.prompt(tenant, conversation.id)
            text, parts = texts.store(key, conversation.system_prompt)
            writes.append(put(self._table, key, text))
            writes += [put(self._table, *part) for part in parts]
        writes.append(put_new(self._table, keys.head(tenant, conversation.id), head))
        writes.append(put(self._table, _entry(conversation), entry))
        try:
            self._database.transact(writes)
        except ConditionFailed as error:
            raise Conflict("This conversation id is taken.") from error

    @in_thread
    def get(self, scope: Scope, conversation: ConversationId) -> Conversation:
        """Read a conversation's head and prompt: one query."""
        found = self._database.query(self._table, keys.head_and_prompt(scope.tenant, conversation))
        return self._conversation(scope, conversation, found)

    @in_thread
    def get_with_newest(
        self, scope: Scope, conversation: ConversationId, limit: int
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """Read prompt, head and newest messages: one query, backwards.

        A query isn't isolated from a transaction that commits meanwhile: it may see the head
        before and the messages after an append, or the other way round. Then it is made again.
        """
        for _ in range(_READS_FOR_A_SNAPSHOT):
            found = self._database.query(
                self._table,
                keys.messages_and_head(scope.tenant, conversation),
                limit=limit + 2,
                newest_first=True,
            )
            head = self._conversation(scope, conversation, found)
            messages = [item for item in found if keys.sequence(item["sk"]) is not None][:limit]
            messages.reverse()
            if _are_newest(messages, limit, head.message_count):
                return head, self._messages(conversation, messages)
        raise StoreUnavailable("The conversation is too busy right now. Please try again.")

    @in_thread
    def list_conversations(
        self,
        scope: Scope,
        user: str,
        *,
        limit: int,
        after: ConversationId | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Conversation]:
        """List a user's conversations: a query of small entries, then the heads in batches.

        What is skipped by `offset` costs its entry only, of about 100 bytes.
        """
        if not scope.covers(user):
            return Page((), has_more=False)
        start = self._entry_of(scope, user, after) if after is not None else None
        entries = self._database.query(
            self._table,
            keys.list_of(scope.tenant, user),
            limit=offset + limit + 1,
            newest_first=newest_first,
            after=start,
        )
        wanted: list[Key] = []
        ids: list[ConversationId] = []
        for entry in entries[offset : offset + limit]:
            id_ = keys.listed_conversation(entry["sk"])
            ids.append(id_)
            wanted.append(keys.head(scope.tenant, id_))
            if _HAS_PROMPT in entry:
                wanted.append(keys.prompt(scope.tenant, id_))
        found = self._database.get_many(self._table, wanted)
        conversations = self._conversations(scope, ids, found)
        return Page(tuple(conversations), has_more=len(entries) > offset + limit)

    @in_thread
    def count_conversations(self, scope: Scope, user: str) -> int:
        """Count the entries of a user's list."""
        if not scope.covers(user):
            return 0
        return self._database.count(self._table, keys.list_of(scope.tenant, user))

    @in_thread
    def delete(self, scope: Scope, conversation: ConversationId) -> None:
        """Mark the head as deleted, remove all else, then the head.

        The mark hides the conversation from every reader and refuses every append, so what is
        removed afterwards is complete. A call that finds the mark goes on from there.
        """
        key = keys.head(scope.tenant, conversation)
        head = self._database.get(self._table, key)
        if head is None or not scope.covers(head["user"]):
            raise _no_such_conversation()
        if "deleted_at" not in head:
            known = items.to_conversation(scope.tenant, conversation, head, None)
            mark = update(
                self._table,
                key,
                "SET #deleted_at = :now",
                {"now": keys.timestamp(self._clock.now())},
                condition="attribute_exists(#pk) AND attribute_not_exists(#deleted_at)",
            )
            with suppress(ConditionFailed):  # another call has just made it, and both go on
                self._database.transact([mark, delete(self._table, _entry(known))])
        for some in self._database.keys(self._table, keys.everything(scope.tenant, conversation)):
            self._database.delete_many(self._table, (each for each in some if each != key))
        self._database.write(delete(self._table, key))

    # Messages and turns ------------------------------------------------------------------------

    @in_thread
    def messages(self, conversation: Conversation, *, first: int, last: int) -> tuple[Message, ...]:
        """Read a range of messages: one query."""
        first = max(first, 1)
        if first > last:
            return ()
        found = self._database.query(
            self._table, keys.messages(conversation.tenant, conversation.id, first, last)
        )
        if len(found) < min(last, conversation.message_count) - first + 1:
            raise _no_such_conversation()  # some are removed already, so it is being deleted
        return self._messages(conversation.id, found)

    @in_thread
    def append_turn(
        self, conversation: Conversation, *, text: str, model: str, at: datetime
    ) -> tuple[Message, Message]:
        """Append both messages and move the head's counter: one transaction.

        The counter numbers the messages, and the transaction happens only where the counter is
        still what the numbers were taken from:

            ours                               another's
            ────                               ─────────
            count is 6: take 7 and 8
                                               count is 6: take 7 and 8
                                               if count = 6: put 7, 8; count := 8   done
            if count = 6: put 7, 8; count := 8
            refused, and told that count is 8
            if count = 8: put 9, 10; count := 10   done

        So numbers have no gaps, a turn's two are adjacent, and a refusal writes nothing.
        """
        count = conversation.message_count
        patience = self._database.patience()
        while True:
            if count + 2 > MAX_SEQUENCE:
                raise ConversationFull("This conversation is full. Please start a new one.")
            user = Message(
                id=MessageId(conversation.id, count + 1),
                role=Role.USER,
                text=text,
                status=Status.COMPLETED,
                created_at=at,
            )
            reply = Message(
                id=MessageId(conversation.id, count + 2),
                role=Role.ASSISTANT,
                text="",
                status=Status.PENDING,
                created_at=at,
                model=model,
            )
            try:
                self._database.try_transact(self._turn(count, conversation.tenant, user, reply))
            except ConditionFailed as refusal:
                head = refusal.found[0]
                outdated = patience.after_collision()
            except Contended:
                patience.after_collision()
                outdated = True
            else:
                return user, reply
            if outdated:
                # A query, though of one item: a function that takes turns may make no other read.
                key = keys.head(conversation.tenant, conversation.id)
                found = self._database.query(self._table, Range(key.pk, key.sk, key.sk))
                head = found[0] if found else None
            if head is None or "deleted_at" in head:
                raise _no_such_conversation()
            count = head["message_count"]

    @in_thread
    def settle_turn(self, reply: Message, record: UsageRecord) -> bool:
        """Settle the reply and write the ledger line: one transaction."""
        return self._settle(
            self._table, keys.message(record.tenant, reply.id), reply, record, lifetime={}
        )

    # Stateless completions ---------------------------------------------------------------------

    @in_thread
    def begin_completion(self, scope: Scope, reply: Message) -> None:
        """Keep a pending reply: one write."""
        key = keys.completion(scope.tenant, reply.id)
        item: Item = {
            **items.from_message(reply),
            "text": reply.text,
            "user": scope.user,
            "expires_at": _expiry(reply.created_at),
        }
        try:
            self._database.write(put_new(self._tables.transient, key, item))
        except ConditionFailed as refusal:
            # botocore repeats a write whose answer was lost, and then meets its own item.
            stored = refusal.found[0] or {}
            wanted = {name: value for name, value in item.items() if value is not None}
            if stored != {**key._asdict(), **wanted}:
                raise Conflict("This completion id is taken.") from refusal

    @in_thread
    def settle_completion(self, reply: Message, record: UsageRecord) -> bool:
        """Settle a stateless completion and write the ledger line: one transaction."""
        return self._settle(
            self._tables.transient,
            keys.completion(record.tenant, reply.id),
            reply,
            record,
            lifetime={"expires_at": _expiry(record.at)},
        )

    @in_thread
    def get_completion(self, scope: Scope, completion: MessageId) -> Message:
        """Read a stateless completion's reply: one read.

        The table's owner removes what has expired within days, so that it has is checked here.
        """
        table = self._tables.transient
        item = self._database.get(table, keys.completion(scope.tenant, completion))
        if (
            item is None
            or item["expires_at"] <= self._clock.now().timestamp()
            or (scope.user is not None and item.get("user") != scope.user)
        ):
            raise _no_such_completion()
        text = texts.read(self._database, table, [item]).get(keys.of(item))
        if text is None:
            raise _no_such_completion()
        return items.to_message(completion, item, text)

    # Parts of the above ------------------------------------------------------------------------

    def _conversations(
        self, scope: Scope, ids: Iterable[ConversationId], found: Mapping[Key, Item]
    ) -> list[Conversation]:
        """Those of the conversations that are in scope, from their heads and prompts."""
        heads: list[tuple[ConversationId, Item]] = []
        prompts: list[Item] = []
        for id_ in ids:
            head = found.get(keys.head(scope.tenant, id_))
            if head is None or "deleted_at" in head or not scope.covers(head["user"]):
                continue
            heads.append((id_, head))
            prompt = found.get(keys.prompt(scope.tenant, id_))
            if prompt is not None:
                prompts.append(prompt)
        prompt_texts = texts.read(self._database, self._table, prompts)
        conversations = []
        for id_, head in heads:
            text = prompt_texts.get(keys.prompt(scope.tenant, id_))
            if text is not None or _HAS_PROMPT not in head:
                conversations.append(items.to_conversation(scope.tenant, id_, head, text))
        return conversations

    def _conversation(
        self, scope: Scope, id_: ConversationId, found: Iterable[Item]
    ) -> Conversation:
        """The one whose head and prompt are among these items."""
        conversations = self._conversations(scope, [id_], {keys.of(item): item for item in found})
        if not conversations:
            raise _no_such_conversation()
        return conversations[0]

    def _entry_of(self, scope: Scope, user: str, id_: ConversationId) -> Key:
        head = self._database.get(self._table, keys.head(scope.tenant, id_))
        if head is None or "deleted_at" in head or head["user"] != user:
            raise _no_such_conversation()
        return _entry(items.to_conversation(scope.tenant, id_, head, None))

    def _messages(self, id_: ConversationId, found: Sequence[Item]) -> tuple[Message, ...]:
        by_key = texts.read(self._database, self._table, found)
        if len(by_key) < len(found):
            raise _no_such_conversation()  # parts are removed already, so it is being deleted
        return tuple(
            items.to_message(
                MessageId(id_, keys.sequence(item["sk"]) or 0), item, by_key[keys.of(item)]
            )
            for item in found
        )

    def _turn(self, counted: int, tenant: str, user: Message, reply: Message) -> list[Write]:
        """The writes that append a turn behind `counted` messages; the head's comes first."""
        head = update(
            self._table,
            keys.head(tenant, user.id.conversation),
            "SET #message_count = :appended, #updated_at = :at",
            {
                "counted": counted,
                "appended": reply.id.sequence,
                "at": keys.timestamp(reply.created_at),
            },
            condition="#message_count = :counted AND attribute_not_exists(#deleted_at)",
        )
        writes = [head]
        for message in (user, reply):
            key = keys.message(tenant, message.id)
            text, parts = texts.store(key, message.text)
            writes.append(put_new(self._table, key, {**items.from_message(message), **text}))
            writes += [put(self._table, *part) for part in parts]
        return writes

    def _settle(
        self, table: str, key: Key, reply: Message, record: UsageRecord, lifetime: Item
    ) -> bool:
        text, parts = texts.store(key, reply.text)
        self._database.put_many(table, ((part, {**item, **lifetime}) for part, item in parts))
        changes, values = assignments({**items.from_message(reply), **text, **lifetime})
        settle = update(
            table,
            key,
            changes,
            {**values, "pending": Status.PENDING.value},
            condition="#status = :pending",
        )
        line = put_new(
            self._tables.ledger,
            keys.ledger_line(record.tenant, record.at, record.turn),
            items.from_record(record),
        )
        try:
            self._database.transact([settle, line])
        except ConditionFailed as refusal:
            if refusal.found[0] is None:
                # Its conversation is deleted, so nothing else would ever remove these.
                self._database.delete_many(table, (part for part, _ in parts))
            return False
        return True


def _entry(conversation: Conversation) -> Key:
    return keys.listed(
        conversation.tenant, conversation.user, conversation.created_at, conversation.id
    )


def _are_newest(messages: Sequence[Item], limit: int, count: int) -> bool:
    """Whether these are the newest `limit` of `count` messages, in order."""
    expected = range(max(count - limit, 0) + 1, count + 1)
    return [keys.sequence(item["sk"]) for item in messages] == list(expected)


def _expiry(since: datetime) -> int:
    return int((since + COMPLETION_LIFETIME).timestamp())


def _no_such_conversation() -> NotFound:
    return NotFound("No such conversation.")


def _no_such_completion() -> NotFound:
    return NotFound("No such completion.")
