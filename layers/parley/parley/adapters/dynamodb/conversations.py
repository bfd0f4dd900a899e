"""Conversations, messages and turns on DynamoDB."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeGuard

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys, texts
from parley.adapters.dynamodb.accounts import Accounts
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Contended,
    Database,
    Patience,
    Tables,
    Write,
    assignments,
    delete,
    put,
    put_new,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.journal import Journal
from parley.adapters.dynamodb.keys import Key, Range
from parley.adapters.dynamodb.lines import Lines
from parley.adapters.dynamodb.requests import DynamoRequests
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
from parley.domain.once import Once, Repeated
from parley.domain.tools import ToolResult
from parley.domain.turns import FORGOTTEN, Checkpoint, UsageRecord
from parley.ports import Clock

COMPLETION_LIFETIME = timedelta(days=1)
"""How long the reply of a stateless completion is kept."""

_HAS_SETUP = "setup"
"""Attribute of a head, and of its entry in the list, beside which there is a setup."""

_STOP = "stop_requested"
"""Attribute of a reply that is to be stopped."""


class DynamoConversations:
    """The `ConversationStore` on DynamoDB."""

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._tables = tables
        self._table = tables.conversations
        self._clock = clock
        self._requests = DynamoRequests(database, tables, clock)
        self._journal = Journal(database, clock)
        self._accounts = Accounts(database, tables)
        self._lines = Lines()

    # Conversations -----------------------------------------------------------------------------

    @in_thread
    def create(self, conversation: Conversation, *, once: Once | None = None) -> None:
        """Keep head, setup, alias, the entry in the user's list and the note: one transaction."""
        tenant = conversation.tenant
        head, entry = items.from_conversation(conversation), Item()
        writes: list[Write] = []
        setup = items.setup_of(conversation)
        if setup is not None:
            head[_HAS_SETUP] = entry[_HAS_SETUP] = 1
            key = keys.setup(tenant, conversation.id)
            text, parts = texts.store(key, setup)
            writes.append(put(self._table, key, text))
            writes += [put(self._table, *part) for part in parts]
        if conversation.alias is not None:
            pointer: Item = {"conversation": conversation.id.number, "user": conversation.user}
            writes.append(put_new(self._table, keys.alias(tenant, conversation.alias), pointer))
        writes.append(put(self._table, _entry(conversation), entry))
        writes.append(put_new(self._table, keys.head(tenant, conversation.id), head))
        if once is not None:
            writes.insert(0, self._requests.begins_conversation(once, conversation))
        try:
            self._database.transact(writes)
        except ConditionFailed as refusal:
            if once is not None:
                self._requests.check(refusal, 0)
            taken = "conversation id" if refusal.failed[-1] else "alias"
            raise Conflict(f"This {taken} is taken.") from refusal

    @in_thread
    def get(self, scope: Scope, conversation: ConversationId) -> Conversation:
        """Read a conversation's head and setup: one query."""
        found = self._database.query(self._table, keys.head_and_setup(scope.tenant, conversation))
        head, _ = self._read(scope, conversation, found)
        return head

    @in_thread
    def get_with_newest(
        self, scope: Scope, conversation: ConversationId, limit: int
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """Read setup, head and newest messages: one query, backwards.

        A query isn't isolated from a transaction that commits meanwhile: it may see the head
        before and the messages after an append, or the other way round, or one message of the two.
        The conversation is then read as of the newest turn that it has seen all of: what it hasn't
        seen wasn't acknowledged before the query began.
        """
        found = self._database.query(
            self._table,
            keys.messages_and_head(scope.tenant, conversation),
            limit=limit + 2,
            newest_first=True,
        )
        head = _visible(scope, conversation, found)
        messages = [item for item in found if keys.sequence(item["sk"]) is not None][:limit]
        messages.reverse()
        if not _are_newest(messages, limit, head["message_count"]):
            count = _whole_turns(messages)
            if count < head["message_count"]:
                self._check_visible(scope, conversation)
            head["message_count"] = count
            messages = self._newest(scope.tenant, conversation, messages, limit, count)
        others = [item for item in found if keys.sequence(item["sk"]) is None]
        return self._read(scope, conversation, others + messages)

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
            if _HAS_SETUP in entry:
                wanted.append(keys.setup(scope.tenant, id_))
        found = self._database.get_many(self._table, wanted)
        conversations = self._conversations(scope, ids, found)
        return Page(conversations, has_more=len(entries) > offset + limit)

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
        removed afterwards is complete. A call that finds the mark goes on from there; that it is to
        be made stands beside the user's list as long as the head is there.
        """
        key = keys.head(scope.tenant, conversation)
        head = self._database.get(self._table, key)
        if head is None or not scope.covers(head["user"]):
            raise _no_such_conversation()
        note = keys.unfinished(scope.tenant, head["user"], conversation)
        if "deleted_at" not in head:
            known = items.to_conversation(scope.tenant, conversation, head, None)
            mark = update(
                self._table,
                key,
                "SET #deleted_at = :now",
                {"now": keys.timestamp(self._clock.now())},
                condition="attribute_exists(#pk) AND attribute_not_exists(#deleted_at)",
            )
            writes = [mark, delete(self._table, _entry(known)), put(self._table, note, Item())]
            if known.alias is not None:
                writes.append(delete(self._table, keys.alias(scope.tenant, known.alias)))
            with suppress(ConditionFailed):  # another call has just made it, and both go on
                self._database.transact(writes)
        for some in self._database.keys(self._table, keys.everything(scope.tenant, conversation)):
            self._database.delete_many(self._table, (each for each in some if each != key))
        self._database.transact([delete(self._table, key), delete(self._table, note)])

    @in_thread
    def unfinished_deletions(self, scope: Scope, user: str) -> tuple[ConversationId, ...]:
        """Read the notes beside the user's list: one query."""
        if not scope.covers(user):
            return ()
        notes = self._database.query(self._table, keys.all_unfinished(scope.tenant, user))
        return tuple(keys.listed_conversation(note["sk"]) for note in notes)

    @in_thread
    def forget_user(self, tenant: str, user: str) -> None:
        """Remove the note that a user was seen: one write."""
        self._database.write(delete(self._table, keys.seen(tenant, user)))

    @in_thread
    def find_alias(self, scope: Scope, alias: str) -> ConversationId | None:
        """Read where an alias points to: one read."""
        pointer = self._database.get(self._table, keys.alias(scope.tenant, alias))
        if pointer is None or not scope.covers(pointer["user"]):
            return None
        return ConversationId(pointer["conversation"])

    @in_thread
    def rename(self, scope: Scope, conversation: ConversationId, title: str) -> None:
        """Change the head's title: one write."""
        condition = "attribute_exists(#pk) AND attribute_not_exists(#deleted_at)"
        values: dict[str, str | int] = {"title": title}
        if scope.user is not None:
            condition += " AND #user = :user"
            values["user"] = scope.user
        rename = update(
            self._table,
            keys.head(scope.tenant, conversation),
            "SET #title = :title",
            values,
            condition=condition,
        )
        try:
            self._database.write(rename)
        except ConditionFailed as refusal:
            raise _no_such_conversation() from refusal

    @in_thread
    def see_user(self, tenant: str, user: str) -> bool:
        """Note that a user was seen: one write, where there is no note.

        It is a transaction because of those DynamoDB recognises one that is repeated as its answer
        was lost; a single write would then meet its own note, and nobody be the first.
        """
        note: Item = {"first_seen_at": keys.timestamp(self._clock.now())}
        try:
            self._database.transact([put_new(self._table, keys.seen(tenant, user), note)])
        except ConditionFailed:
            return False
        return True

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
        bodies = texts.read(self._database, self._table, found)
        return _messages(conversation.id, found, bodies)

    @in_thread
    def get_message(self, scope: Scope, message: MessageId) -> tuple[Conversation, Message]:
        """Read head, setup and message: one batch."""
        tenant, id_ = scope.tenant, message.conversation
        wanted = keys.head(tenant, id_), keys.setup(tenant, id_), keys.message(tenant, message)
        found = self._database.get_many(self._table, wanted)
        try:
            conversation, messages = self._read(scope, id_, list(found.values()))
        except NotFound as gone:
            raise _no_such_message() from gone
        if not messages:
            raise _no_such_message()
        return conversation, messages[0]

    @in_thread
    def rate(self, scope: Scope, message: MessageId, rating: Rating | None) -> None:
        """Read the head, then change the reply: one read, one write."""
        self._check_scope(scope, message)
        values: dict[str, str | int] = {"assistant": Role.ASSISTANT.value}
        if rating is not None:
            values["rating"] = rating.value
        rate = update(
            self._table,
            keys.message(scope.tenant, message),
            "REMOVE #rating" if rating is None else "SET #rating = :rating",
            values,
            condition="#role = :assistant",
        )
        try:
            self._database.write(rate)
        except ConditionFailed as refusal:
            raise _no_such_message() from refusal

    @in_thread
    def append_turn(
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
        """Append both messages, move the head's counter and note the request: one transaction.

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

        So numbers have no gaps, a turn's two are adjacent, and a refusal writes nothing. Callers
        within this process stand in line, for their collisions would be in vain.
        """
        reply = Message(
            id=MessageId(conversation.id, conversation.message_count + 2),
            role=Role.ASSISTANT,
            text="",
            status=Status.PENDING,
            created_at=at,
            model=model,
            product_ids=product_ids,
            origin=origin,
        )
        user = Message(
            id=MessageId(conversation.id, conversation.message_count + 1),
            role=Role.TOOL if tool_results else Role.USER,
            text=text,
            status=Status.COMPLETED,
            created_at=at,
            tool_results=tool_results,
        )
        patience = self._database.patience()
        name = (conversation.tenant, conversation.id)
        with self._lines.join(name, seconds=patience.left()) as line:
            if not (alone or tool_results):
                user, reply = _renumbered(user, reply, max(line.known, user.id.sequence - 1))
            while True:
                count = self._append(conversation.tenant, user, reply, once, patience)
                if count is None:
                    break
                if count != conversation.message_count:
                    _check_that_it_may_follow(alone=alone, answers_calls=bool(tool_results))
                user, reply = _renumbered(user, reply, count)
            line.known = reply.id.sequence
        return user, reply

    @in_thread
    def request_stop(self, scope: Scope, reply: MessageId) -> None:
        """Mark the reply, if it is pending: one write, and for a stored one a read of the head."""
        table, key = self._place(scope.tenant, reply)
        condition = "#role = :assistant AND #status = :pending"
        values: dict[str, str | int] = {
            "assistant": Role.ASSISTANT.value,
            "pending": Status.PENDING.value,
        }
        if not reply.is_completion:
            self._check_scope(scope, reply)
        else:
            condition += " AND #expires_at > :now"
            values["now"] = int(self._clock.now().timestamp())
            if scope.user is not None:
                condition += " AND #user = :user"
                values["user"] = scope.user
        mark = update(table, key, f"SET #{_STOP} = :yes", {**values, "yes": 1}, condition=condition)
        try:
            self._database.write(mark)
        except ConditionFailed as refusal:
            found = refusal.found[0]
            if found is None or found["role"] != Role.ASSISTANT or not self._owns(scope, found):
                raise _no_such_message() from refusal

    @in_thread
    def stop_requested(self, tenant: str, reply: MessageId) -> bool:
        """Read the reply: one read."""
        found = self._database.get(*self._place(tenant, reply))
        return found is None or _STOP in found or found["status"] != Status.PENDING

    @in_thread
    def checkpoint(self, tenant: str, reply: MessageId, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint beside the reply: one write."""
        self._journal.add(*self._place(tenant, reply), checkpoint)

    @in_thread
    def checkpoints(
        self, tenant: str, reply: MessageId, *, after: int = 0
    ) -> tuple[Checkpoint, ...]:
        """Read the checkpoints beside the reply: one query."""
        return self._journal.read(*self._place(tenant, reply), after=after)

    @in_thread
    def last_sign(self, tenant: str, reply: MessageId) -> datetime | None:
        """Read the newest checkpoint beside the reply: one query."""
        return self._journal.last_sign(*self._place(tenant, reply))

    @in_thread
    def settle(
        self, reply: Message, record: UsageRecord, *, last: Checkpoint | None = None
    ) -> bool:
        """Change the reply, write the ledger line, settle what is held, keep the last checkpoint.

        It is one transaction; what of a long text doesn't fit into the reply's item is written
        before it. Where the reply is gone with its conversation, or was never kept, what its turn
        has used is settled all the same, and its user not named.
        """
        table, key = self._place(record.tenant, reply.id)
        lifetime: Item = {"expires_at": _expiry(record.at)} if reply.id.is_completion else {}
        text, parts = texts.store(key, items.body_of(reply))
        self._database.put_many(table, ((part, {**item, **lifetime}) for part, item in parts))
        changes, values = assignments({**items.from_outcome(reply), **text, **lifetime})
        writes = [
            update(
                table,
                key,
                changes,
                {**values, "pending": Status.PENDING.value},
                condition="#status = :pending",
            )
        ]
        if last is not None:
            writes.append(self._journal.addition(table, key, last))
        refusal = self._bill(writes, reply, record)
        if refusal is not None and refusal.found[0] is None:
            # It is gone or never was, so nothing else would ever remove these.
            self._database.delete_many(table, (part for part, _ in parts))
            self._journal.remove(table, key)
            if _is_uncounted(reply, record.at):
                self._bill([], reply, replace(record, user=FORGOTTEN))
        return refusal is None

    @in_thread
    def holders(self, tenant: str, *, before: datetime) -> tuple[tuple[MessageId, datetime], ...]:
        """Read the notes of turns that hold something: one query."""
        return self._accounts.oldest(tenant, before)

    @in_thread
    def release(self, tenant: str, turn: MessageId, *, since: datetime) -> bool:
        """Give back what a turn holds: one query and one transaction."""
        return self._accounts.release(tenant, turn, since)

    @in_thread
    def balance(self, tenant: str, account: Account) -> Balance:
        """Read an account: one query."""
        return self._accounts.balance(tenant, account)

    # Stateless completions ---------------------------------------------------------------------

    @in_thread
    def begin_completions(
        self, scope: Scope, replies: Sequence[Message], *, once: Once | None = None
    ) -> None:
        """Keep pending replies: one write, or one transaction with the note of the request."""
        stored: list[tuple[Key, Item]] = []
        for reply in replies:
            item = {
                **items.from_message(reply),
                "text": reply.text,
                "user": scope.user,
                "asker": reply.origin.user if reply.origin else None,
                "expires_at": _expiry(reply.created_at),
            }
            stored.append((keys.completion(scope.tenant, reply.id), item))
        holds = self._accounts.takes(scope.tenant, replies)
        if len(stored) == 1 and once is None and not holds:
            self._begin_completion(*stored[0])
            return
        writes = [put_new(self._tables.transient, key, item) for key, item in stored]
        writes += holds
        if once is not None:
            writes.append(self._requests.begins_turns(once, None, replies))
        try:
            self._database.transact(writes)
        except ConditionFailed as refusal:
            if once is not None:
                self._requests.check(refusal, -1)
            self._accounts.check(refusal, replies, len(stored))
            raise _completion_is_taken() from refusal

    @in_thread
    def get_completion(self, scope: Scope, completion: MessageId) -> Message:
        """Read a stateless completion's reply: one read.

        The table's owner removes what has expired within days, so that it has is checked here.
        """
        table = self._tables.transient
        item = self._database.get(table, keys.completion(scope.tenant, completion))
        if item is None or not self._owns(scope, item):
            raise _no_such_completion()
        text = texts.read(self._database, table, [item]).get(keys.of(item))
        if text is None:
            raise _no_such_completion()
        return items.to_message(completion, item, text)

    # Parts of the above ------------------------------------------------------------------------

    def _conversations(
        self, scope: Scope, ids: Iterable[ConversationId], found: Mapping[Key, Item]
    ) -> tuple[Conversation, ...]:
        """Those of the conversations that are in scope, from their heads and setups."""
        heads: dict[ConversationId, Item] = {}
        setups: list[Item] = []
        for id_ in ids:
            head = found.get(keys.head(scope.tenant, id_))
            if _is_visible(head, scope):
                heads[id_] = head
                setups += filter(None, [found.get(keys.setup(scope.tenant, id_))])
        bodies = texts.read(self._database, self._table, setups)
        read = (_conversation(scope.tenant, id_, head, bodies) for id_, head in heads.items())
        return tuple(filter(None, read))

    def _read(
        self, scope: Scope, id_: ConversationId, found: Sequence[Item]
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """The conversation and the messages that these items are; all their parts in one batch.

        Raises:
            NotFound: the head isn't among them or not in scope, or the parts are gone.
        """
        head = _visible(scope, id_, found)
        bodies = texts.read(
            self._database, self._table, (each for each in found if each is not head)
        )
        conversation = _conversation(scope.tenant, id_, head, bodies)
        if conversation is None:
            raise _no_such_conversation()
        messages = [item for item in found if keys.sequence(item["sk"]) is not None]
        return conversation, _messages(id_, messages, bodies)

    def _check_visible(self, scope: Scope, conversation: ConversationId) -> None:
        """Make sure that messages are missing because they are new, not because they are gone.

        Raises:
            NotFound: the conversation is being deleted.
        """
        if not _is_visible(self._head(scope.tenant, conversation), scope):
            raise _no_such_conversation()

    def _head(self, tenant: str, conversation: ConversationId) -> Item | None:
        # A query, though of one item: a function that takes turns may make no other read.
        key = keys.head(tenant, conversation)
        found = self._database.query(self._table, Range(key.pk, key.sk, key.sk))
        return found[0] if found else None

    def _newest(
        self,
        tenant: str,
        id_: ConversationId,
        messages: Sequence[Item],
        limit: int,
        count: int,
    ) -> list[Item]:
        """The newest `limit` of `count` messages; what isn't among these is read.

        Raises:
            NotFound: there are fewer, as the conversation is being deleted.
        """
        known = [item for item in messages if (keys.sequence(item["sk"]) or 0) <= count]
        first = max(count - limit, 0) + 1
        if len(known) < count - first + 1:
            known = self._database.query(self._table, keys.messages(tenant, id_, first, count))
        if not _are_newest(known, limit, count):
            raise _no_such_conversation()
        return known

    def _check_scope(self, scope: Scope, message: MessageId) -> None:
        """Read the head of a message's conversation.

        What is written to the message after that needs no condition on the head: where the head is
        marked as deleted meanwhile, the write counts as before that, and goes with the message.

        Raises:
            NotFound: there is none in scope.
        """
        head = self._database.get(self._table, keys.head(scope.tenant, message.conversation))
        if not _is_visible(head, scope):
            raise _no_such_message()

    def _entry_of(self, scope: Scope, user: str, id_: ConversationId) -> Key:
        head = self._database.get(self._table, keys.head(scope.tenant, id_))
        if head is None or "deleted_at" in head or head["user"] != user:
            raise _no_such_conversation()
        return _entry(items.to_conversation(scope.tenant, id_, head, None))

    def _append(
        self, tenant: str, user: Message, reply: Message, once: Once | None, patience: Patience
    ) -> int | None:
        """Try to append a turn at the numbers that it has.

        Returns:
            None where that was done; else, after a pause if many try, behind how many messages to
            try again.
        """
        counted = user.id.sequence - 1
        self._check_space(counted, once)
        writes = self._turn(counted, tenant, user, reply)
        first_hold = len(writes)
        writes += self._accounts.takes(tenant, [reply])
        if once is not None:
            writes.append(self._requests.begins_turns(once, user.id.conversation, [reply]))
        try:
            self._database.try_transact(writes)
        except ConditionFailed as refusal:
            if once is not None:
                self._requests.check(refusal, -1)
            if not refusal.failed[0]:
                self._accounts.check(refusal, [reply], first_hold)
            head = refusal.found[0]
            # Where the head isn't what was refused, another is writing it and has taken the number.
            outdated = patience.after_collision() or not refusal.failed[0]
        except Contended:
            patience.after_collision()
            outdated = True
        else:
            return None
        if outdated:
            head = self._head(tenant, user.id.conversation)
        if head is None or "deleted_at" in head:
            raise _no_such_conversation()
        count: int = head["message_count"]
        return count

    def _bill(
        self, writes: Sequence[Write], reply: Message, record: UsageRecord
    ) -> ConditionFailed | None:
        """Write the ledger line and settle what a turn holds, with other writes or not at all.

        Returns:
            Why it wasn't done; None where it was.
        """
        line = put_new(
            self._tables.ledger,
            keys.ledger_line(record.tenant, record.at, record.turn),
            items.from_record(record),
        )
        first = [*writes, line]
        # What is held is released by whoever finds a dead turn whose conversation is deleted.
        for released in (False, True):
            settles = self._accounts.settles(reply, record, released=released)
            try:
                self._database.transact([*first, *settles])
            except ConditionFailed as refusal:
                if released or any(refusal.failed[: len(first)]):
                    return refusal
            else:
                return None
        raise AssertionError("what was released has no condition")

    def _check_space(self, count: int, once: Once | None) -> None:
        """Make sure that there are numbers left for another turn.

        Raises:
            Repeated: there are none, perhaps because this request took the last ones.
            ConversationFull: there are none.
        """
        if count + 2 > MAX_SEQUENCE:
            known = self._requests.known(once) if once is not None else None
            if known is not None:
                raise Repeated(known)
            raise ConversationFull("This conversation is full. Please start a new one.")

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
            text, parts = texts.store(key, items.body_of(message))
            writes.append(put_new(self._table, key, {**items.from_message(message), **text}))
            writes += [put(self._table, *part) for part in parts]
        return writes

    def _begin_completion(self, key: Key, item: Item) -> None:
        try:
            self._database.write(put_new(self._tables.transient, key, item))
        except ConditionFailed as refusal:
            # botocore repeats a write whose answer was lost, and then meets its own item.
            stored = refusal.found[0] or {}
            wanted = {name: value for name, value in item.items() if value is not None}
            if stored != {**key._asdict(), **wanted}:
                raise _completion_is_taken() from refusal

    def _place(self, tenant: str, reply: MessageId) -> tuple[str, Key]:
        """Where a reply is: its table and its key."""
        if reply.is_completion:
            return self._tables.transient, keys.completion(tenant, reply)
        return self._table, keys.message(tenant, reply)

    def _owns(self, scope: Scope, reply: Item) -> bool:
        """Whether a reply is in scope and alive, as far as its own item tells."""
        if "expires_at" not in reply:
            return True  # of a conversation, whose head tells
        is_alive: bool = reply["expires_at"] > self._clock.now().timestamp()
        return is_alive and (scope.user is None or reply.get("user") == scope.user)


def _entry(conversation: Conversation) -> Key:
    return keys.listed(
        conversation.tenant, conversation.user, conversation.created_at, conversation.id
    )


def _is_visible(head: Item | None, scope: Scope) -> TypeGuard[Item]:
    """Whether this is the head of a conversation in scope, and not one being deleted."""
    return head is not None and "deleted_at" not in head and scope.covers(head["user"])


def _visible(scope: Scope, id_: ConversationId, found: Iterable[Item]) -> Item:
    """The conversation's head from among these items.

    Raises:
        NotFound: it isn't among them, or not in scope.
    """
    key = keys.head(scope.tenant, id_)
    head = next((item for item in found if keys.of(item) == key), None)
    if not _is_visible(head, scope):
        raise _no_such_conversation()
    return head


def _conversation(
    tenant: str, id_: ConversationId, head: Item, bodies: Mapping[Key, str]
) -> Conversation | None:
    """The conversation of this head; None where its setup is gone, as it is being deleted."""
    setup = bodies.get(keys.setup(tenant, id_))
    if setup is None and _HAS_SETUP in head:
        return None
    return items.to_conversation(tenant, id_, head, setup)


def _messages(
    id_: ConversationId, found: Sequence[Item], bodies: Mapping[Key, str]
) -> tuple[Message, ...]:
    """The messages of these items.

    Raises:
        NotFound: the parts of one are gone, as its conversation is being deleted.
    """
    if any(keys.of(item) not in bodies for item in found):
        raise _no_such_conversation()
    return tuple(
        items.to_message(
            MessageId(id_, keys.sequence(item["sk"]) or 0), item, bodies[keys.of(item)]
        )
        for item in found
    )


def _renumbered(user: Message, reply: Message, count: int) -> tuple[Message, Message]:
    """The messages of a turn as those behind `count` others."""
    conversation = user.id.conversation
    return (
        replace(user, id=MessageId(conversation, count + 1)),
        replace(reply, id=MessageId(conversation, count + 2)),
    )


def _check_that_it_may_follow(*, alone: bool, answers_calls: bool) -> None:
    """Refuse a turn that can't come behind what the caller hasn't seen.

    Raises:
        Conflict: it is to be alone (`TurnInProgress`), or has results of calls made before.
    """
    if alone:
        raise TurnInProgress("Another turn of this conversation isn't over yet.")
    if answers_calls:
        raise Conflict("Something else was said in this conversation in the meantime.")


def _are_newest(messages: Sequence[Item], limit: int, count: int) -> bool:
    """Whether these are the newest `limit` of `count` messages, in order."""
    expected = range(max(count - limit, 0) + 1, count + 1)
    return [keys.sequence(item["sk"]) for item in messages] == list(expected)


def _whole_turns(messages: Sequence[Item]) -> int:
    """The number of the newest message, of a whole turn, up to which none of these is missing."""
    newest = 0
    for item in messages:
        sequence = keys.sequence(item["sk"]) or 0
        if newest and sequence != newest + 1:
            break
        newest = sequence
    return newest - newest % 2


def _is_uncounted(reply: Message, at: datetime) -> bool:
    """Whether a reply that isn't there can't have been settled and have had its day since."""
    may_have_expired = reply.id.is_completion and at >= reply.created_at + COMPLETION_LIFETIME
    return reply.role is Role.ASSISTANT and not may_have_expired


def _expiry(since: datetime) -> int:
    return int((since + COMPLETION_LIFETIME).timestamp())


def _no_such_conversation() -> NotFound:
    return NotFound("No such conversation.")


def _no_such_message() -> NotFound:
    return NotFound("No such message.")


def _completion_is_taken() -> Conflict:
    return Conflict("This completion id is taken.")


def _no_such_completion() -> NotFound:
    return NotFound("No such completion.")
