"""What turns hold of limits, in the memory of one process, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from parley.domain.conversations import Message
from parley.domain.holds import Account, Balance, Hold, Kind, NoRoom
from parley.domain.ids import MessageId
from parley.domain.turns import UsageRecord

_Name = tuple[str, MessageId]


class MemoryAccounts:
    """The accounts of all tenants; whoever calls holds the store's lock."""

    def __init__(self) -> None:
        self._balances: dict[tuple[str, Account], Balance] = {}
        self._held: dict[_Name, tuple[datetime, tuple[Hold, ...]]] = {}

    def take(self, tenant: str, replies: Sequence[Message]) -> None:
        """Take what some new turns hold.

        Raises:
            NoRoom: nothing was taken.
        """
        before = dict(self._balances)
        for reply in replies:
            holds = reply.origin.holds if reply.origin else ()
            for hold in holds:
                balance = self.balance(tenant, hold.account)
                if balance.taken + hold.amount > hold.limit:
                    self._balances = before
                    raise NoRoom(hold)
                self._change(tenant, hold.account, balance.taken + hold.amount, 0)
        for reply in replies:
            if reply.origin and reply.origin.holds:
                self._held[tenant, reply.id] = (reply.created_at, reply.origin.holds)

    def settle(self, reply: Message, record: UsageRecord) -> None:
        """Give back what a turn held and didn't use."""
        tokens = record.usage.total_tokens if record.usage else 0
        _, held = self._held.pop((record.tenant, reply.id), (None, ()))
        holds = reply.origin.holds if reply.origin else ()
        for hold in held or (replace(hold, amount=0) for hold in holds):
            used = hold.used(tokens=tokens, cost=record.cost)
            taken = self.balance(record.tenant, hold.account).taken + used - hold.amount
            self._change(record.tenant, hold.account, taken, used)

    def oldest(self, tenant: str, before: datetime) -> tuple[tuple[MessageId, datetime], ...]:
        """Turns that hold something, and since when, the oldest first."""
        held = (
            (since, turn)
            for (owner, turn), (since, holds) in self._held.items()
            if owner == tenant
            and since < before
            and any(hold.account.kind is not Kind.TOKENS for hold in holds)
        )
        return tuple((turn, since) for since, turn in sorted(held))

    def release(self, tenant: str, turn: MessageId) -> bool:
        """Give back all that a turn holds."""
        since, holds = self._held.pop((tenant, turn), (None, ()))
        for hold in holds:
            taken = self.balance(tenant, hold.account).taken - hold.amount
            self._change(tenant, hold.account, taken, 0)
        return since is not None

    def balance(self, tenant: str, account: Account) -> Balance:
        """How an account stands."""
        return self._balances.get((tenant, account), Balance())

    def _change(self, tenant: str, account: Account, taken: int, used: int) -> None:
        spent = self.balance(tenant, account).used
        is_money = account.kind is Kind.BUDGET
        self._balances[tenant, account] = Balance(taken, spent + used if is_money else 0)
