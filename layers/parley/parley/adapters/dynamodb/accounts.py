"""What turns hold of limits, on DynamoDB: writes for the transactions that begin and settle them.

An account is one item, so a turn can be refused for it by a condition, in the same step that makes
the turn durable. DynamoDB refuses two transactions on one item at the same moment; the later one is
tried again. docs/budgets.md tells how many turns a second that carries.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Database,
    Tables,
    Write,
    delete,
    put_new,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key, Range
from parley.domain.conversations import Message
from parley.domain.holds import Account, Balance, Hold, Kind, NoRoom
from parley.domain.ids import MessageId
from parley.domain.turns import UsageRecord

KEPT = timedelta(minutes=10)
"""How long a minute's tokens are kept beyond their end."""


class Accounts:
    """The accounts of all tenants, through blocking calls."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables

    def takes(self, tenant: str, replies: Sequence[Message]) -> list[Write]:
        """What takes all that some new turns hold, on the condition that there is room for it.

        Raises:
            NoRoom: there can't be, whatever is taken.
        """
        taken = _together(replies)
        for hold in taken:
            if hold.amount > hold.limit:
                raise NoRoom(hold)
        writes = [self._take(tenant, hold) for hold in taken]
        for reply in replies:
            noted = _noted(reply)
            if noted:
                note: Item = {"holds": items.from_holds(noted)}
                writes.append(put_new(self._tables.ledger, _note(tenant, reply), note))
        return writes

    def check(self, refusal: ConditionFailed, replies: Sequence[Message], first: int) -> None:
        """Find out whether a transaction was refused for want of room.

        Args:
            first: the place of what `takes` has returned among the writes of the transaction.

        Raises:
            NoRoom: it was.
        """
        for place, hold in enumerate(_together(replies), start=first):
            if refusal.failed[place]:
                raise NoRoom(hold) from refusal

    def settles(self, reply: Message, record: UsageRecord, *, released: bool) -> list[Write]:
        """What gives back, in the transaction that settles a turn, what it held and didn't use.

        The first write fails where what is noted of it has been released before.

        Args:
            released: whether all that is noted has, so that what was used is to be taken anew.
        """
        tenant, holds = record.tenant, _holds(reply)
        tokens = record.usage.total_tokens if record.usage else 0
        settled = [
            self._settle(
                tenant,
                replace(hold, amount=0) if released and _is_noted(hold) else hold,
                hold.used(tokens=tokens, cost=record.cost),
            )
            for hold in holds
            if not _is_over(hold.account, record.at)
        ]
        if released or not _noted(reply):
            return settled
        return [self._unnote(_note(tenant, reply)), *settled]

    def oldest(self, tenant: str, before: datetime) -> tuple[tuple[MessageId, datetime], ...]:
        """Turns that hold something, and since when, the oldest first: one query."""
        within = keys.holders(tenant, before)
        found = self._database.query(self._tables.ledger, within)
        return tuple(keys.held(note["sk"]) for note in found)

    def release(self, tenant: str, turn: MessageId, since: datetime) -> bool:
        """Give back all that is noted of a turn, once: one query and one transaction."""
        key = keys.holder(tenant, since, turn)
        note = self._read(self._tables.ledger, key)
        if note is None:
            return False
        held = items.to_holds(note["holds"])
        try:
            self._database.transact(
                [self._unnote(key), *(self._settle(tenant, hold, 0) for hold in held)]
            )
        except ConditionFailed:
            return False
        return True

    def balance(self, tenant: str, account: Account) -> Balance:
        """How an account stands: one query."""
        item = self._read(self._table(account), keys.account(tenant, account.name)) or {}
        return Balance(item.get("taken", 0), item.get("used", 0))

    def _take(self, tenant: str, hold: Hold) -> Write:
        account = hold.account
        values = {"amount": hold.amount, "room": hold.limit - hold.amount}
        changes = "ADD #taken :amount"
        if account.kind is Kind.TOKENS and account.ends_at is not None:
            values["end"] = int((account.ends_at + KEPT).timestamp())
            changes += " SET #expires_at = :end"
        return update(
            self._table(account),
            keys.account(tenant, account.name),
            changes,
            values,
            condition="attribute_not_exists(#taken) OR #taken <= :room",
        )

    def _settle(self, tenant: str, hold: Hold, used: int) -> Write:
        changes, values = "ADD #taken :change", {"change": used - hold.amount}
        if hold.account.kind is Kind.BUDGET:
            changes, values = f"{changes}, #used :used", {**values, "used": used}
        key = keys.account(tenant, hold.account.name)
        return update(self._table(hold.account), key, changes, values)

    def _read(self, table: str, key: Key) -> Item | None:
        # A query, though of one item: functions that take turns make no other read of the ledger.
        found = self._database.query(table, Range(key.pk, key.sk, key.sk))
        return found[0] if found else None

    def _unnote(self, note: Key) -> Write:
        return delete(self._tables.ledger, note, condition="attribute_exists(#pk)")

    def _table(self, account: Account) -> str:
        tables = self._tables
        return tables.transient if account.kind is Kind.TOKENS else tables.ledger


def _holds(reply: Message) -> tuple[Hold, ...]:
    return reply.origin.holds if reply.origin else ()


def _noted(reply: Message) -> list[Hold]:
    return list(filter(_is_noted, _holds(reply)))


def _is_noted(hold: Hold) -> bool:
    """Whether a dead turn would hold it for longer than a minute."""
    return hold.account.kind is not Kind.TOKENS


def _note(tenant: str, reply: Message) -> Key:
    return keys.holder(tenant, reply.created_at, reply.id)


def _together(replies: Iterable[Message]) -> list[Hold]:
    """What turns that begin together hold, once for each account."""
    amounts: dict[Account, int] = defaultdict(int)
    limits: dict[Account, int] = {}
    for reply in replies:
        for hold in _holds(reply):
            amounts[hold.account] += hold.amount
            limits[hold.account] = hold.limit
    return [Hold(account, amount, limits[account]) for account, amount in amounts.items()]


def _is_over(account: Account, at: datetime) -> bool:
    """Whether nobody asks any more what is taken of it, and it may even be removed."""
    ends_at = account.ends_at
    return account.kind is Kind.TOKENS and ends_at is not None and at >= ends_at
