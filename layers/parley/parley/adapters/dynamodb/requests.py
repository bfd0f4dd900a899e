"""Requests that carry an idempotency key, on DynamoDB."""

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeGuard

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import keys, texts
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Database,
    Tables,
    Write,
    assignments,
    delete,
    put,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.domain.conversations import Conversation, Message
from parley.domain.errors import StoreUnavailable
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import REMEMBERED_FOR, Answer, Done, Once, Repeated
from parley.ports import Clock

_IS_NEW = "attribute_not_exists(#pk) OR #expires_at <= :now"
_IS_UNDONE = (
    "#fingerprint = :fingerprint AND attribute_not_exists(#turns) AND attribute_not_exists(#status)"
)
_BEGAN_NOTHING = "attribute_not_exists(#conversation)"
_NOBODY_HOLDS = "(attribute_not_exists(#held_until) OR #held_until <= :moment)"


class DynamoRequests:
    """The `Requests` on DynamoDB: one item each.

    The item of a request that nobody has sent for a day may still be there, and counts as absent.
    """

    def __init__(self, database: Database, tables: Tables, clock: Clock) -> None:
        self._database = database
        self._table = tables.transient
        self._clock = clock

    @in_thread
    def find(self, once: Once) -> Done | None:
        """What is known of this key: one read, and another where the answer is long."""
        return self.known(once)

    @in_thread
    def hold(self, once: Once, *, until: datetime) -> Done | None:
        """Become the one who answers: one write, and another where a conversation was begun."""
        holder = secrets.token_hex(8)
        taken: Item | None = None
        for write in (self._first_hold(once, until, holder), self._next_hold(once, until, holder)):
            try:
                self._database.write(write)
            except ConditionFailed as refusal:
                taken = refusal.found[0]
                # botocore repeats a write whose answer was lost, and then meets its own item.
                if taken is not None and taken.get("holder") == holder:
                    return None
                if taken is not None and not self._is_free(taken, once):
                    return self.done(taken)
            else:
                return None
        raise StoreUnavailable("The store is too busy right now. Please try again.")

    @in_thread
    def answered(self, once: Once, answer: Answer) -> None:
        """Keep an answer, unless there is one: one write, and before it a long one's parts."""
        key, now = keys.once(once.tenant, once.name), {"now": self._now()}
        expiry: Item = {"expires_at": self._expiry()}
        text, parts = texts.store(key, answer.body)
        self._database.put_many(self._table, ((part, {**item, **expiry}) for part, item in parts))
        item: Item = {
            "fingerprint": once.fingerprint,
            "status": answer.status,
            "media_type": answer.media_type,
            **text,
            **expiry,
        }
        changes, values = assignments(item)
        is_first = f"attribute_not_exists(#pk) OR (#expires_at > :now AND {_IS_UNDONE})"
        try:
            self._database.write(
                update(self._table, key, changes, {**values, **now}, condition=is_first)
            )
        except ConditionFailed as refusal:
            if not self._is_alive(refusal.found[0]):
                with suppress(ConditionFailed):
                    self._database.write(put(self._table, key, item, condition=_IS_NEW, values=now))

    @in_thread
    def release(self, once: Once) -> None:
        """Forget that a request was held: one write."""
        nothing_came = delete(
            self._table,
            keys.once(once.tenant, once.name),
            condition=f"{_IS_UNDONE} AND {_BEGAN_NOTHING}",
            values={"fingerprint": once.fingerprint},
        )
        with suppress(ConditionFailed):
            self._database.write(nothing_came)

    # For the stores of what requests begin ------------------------------------------------------

    def begins_conversation(self, once: Once, conversation: Conversation) -> Write:
        """What notes, in the transaction that creates it, that a request began a conversation.

        Whoever holds the request goes on holding it. With the user's data it is removed.
        """
        changes, values = assignments(
            {
                "fingerprint": once.fingerprint,
                "conversation": conversation.id.number,
                "user": conversation.user,
                "expires_at": self._expiry(),
            }
        )
        return update(
            self._table,
            keys.once(once.tenant, once.name),
            f"{changes} REMOVE #turns, #status, #media_type, #text, #body, #parts",
            {**values, "now": self._now()},
            condition=f"{_IS_NEW} OR ({_IS_UNDONE} AND {_BEGAN_NOTHING})",
        )

    def begins_turns(
        self, once: Once, conversation: ConversationId | None, replies: Sequence[Message]
    ) -> Write:
        """What notes, in the transaction that makes them durable, that a request began turns.

        With the data of the user who asked it is removed.
        """
        item: Item = {
            "fingerprint": once.fingerprint,
            "conversation": conversation.number if conversation else None,
            "turns": json.dumps([reply.id.number for reply in replies]),
            "user": next((reply.origin.user for reply in replies if reply.origin), None),
            "expires_at": self._expiry(),
        }
        return put(
            self._table,
            keys.once(once.tenant, once.name),
            item,
            condition=f"{_IS_NEW} OR ({_IS_UNDONE})",
            values={"now": self._now(), "fingerprint": once.fingerprint},
        )

    def check(self, refusal: ConditionFailed, place: int) -> None:
        """Find out whether a transaction was refused because its request has come before.

        Args:
            place: that of the write which notes the request among those of the transaction.

        Raises:
            Repeated: it was.
        """
        item = refusal.found[place]
        if refusal.failed[place] and item is not None:
            raise Repeated(self.done(item)) from refusal

    def known(self, once: Once) -> Done | None:
        """As `find`, blocking."""
        item = self._database.get(self._table, keys.once(once.tenant, once.name))
        return self.done(item) if self._is_alive(item) else None

    def done(self, item: Item) -> Done:
        """What a request's item says; where the answer is long, its parts are read."""
        conversation = item.get("conversation")
        answer = None
        if "status" in item:
            body = texts.read(self._database, self._table, [item])[keys.of(item)]
            answer = Answer(item["status"], item["media_type"], body)
        return Done(
            fingerprint=item["fingerprint"],
            conversation=ConversationId(conversation) if conversation is not None else None,
            turns=tuple(map(MessageId.from_number, json.loads(item.get("turns", "[]")))),
            answer=answer,
            held_until=(
                datetime.fromisoformat(item["held_until"]) if self._is_held(item) else None
            ),
        )

    # Parts of the above -------------------------------------------------------------------------

    def _first_hold(self, once: Once, until: datetime, holder: str) -> Write:
        item: Item = {
            "fingerprint": once.fingerprint,
            "held_until": keys.timestamp(until),
            "holder": holder,
            "expires_at": self._expiry(),
        }
        return put(
            self._table,
            keys.once(once.tenant, once.name),
            item,
            condition=f"{_IS_NEW} OR ({_IS_UNDONE} AND {_BEGAN_NOTHING} AND {_NOBODY_HOLDS})",
            values={"now": self._now(), "moment": self._moment(), "fingerprint": once.fingerprint},
        )

    def _next_hold(self, once: Once, until: datetime, holder: str) -> Write:
        """The hold of a request that has begun a conversation and then broke off."""
        return update(
            self._table,
            keys.once(once.tenant, once.name),
            "SET #held_until = :until, #holder = :holder",
            {
                "until": keys.timestamp(until),
                "holder": holder,
                "moment": self._moment(),
                "fingerprint": once.fingerprint,
            },
            condition=f"{_IS_UNDONE} AND {_NOBODY_HOLDS}",
        )

    def _is_free(self, item: Item, once: Once) -> bool:
        """Whether the holder's place of this request's item is to be had."""
        is_undone = "turns" not in item and "status" not in item
        is_the_same: bool = item["fingerprint"] == once.fingerprint
        return is_the_same and is_undone and not self._is_held(item)

    def _is_held(self, item: Item) -> bool:
        is_held: bool = item.get("held_until", "") > self._moment()
        return is_held

    def _is_alive(self, item: Item | None) -> TypeGuard[Item]:
        return item is not None and item["expires_at"] > self._clock.now().timestamp()

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _moment(self) -> str:
        return keys.timestamp(self._clock.now())

    def _expiry(self) -> int:
        return int((self._clock.now() + REMEMBERED_FOR).timestamp())
