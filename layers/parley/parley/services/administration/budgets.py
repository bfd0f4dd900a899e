"""How budgets stand."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from parley.domain import holds
from parley.ports import Clock, ConversationStore
from parley.services.administration.tenants import Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A tenant's budget in this month; amounts are US dollars, exactly."""

    month: str
    """In UTC, such as `2026-11`."""
    budget: Decimal | None
    spent: Decimal
    """By turns that are settled, since there is a budget."""
    held: Decimal
    """What turns that aren't settled yet may cost at most."""

    @property
    def left(self) -> Decimal | None:
        """What turns may still take; None where there is no budget."""
        return (
            None if self.budget is None else max(self.budget - self.spent - self.held, Decimal(0))
        )


class Budgets:
    """Reads what is taken of budgets."""

    def __init__(self, tenants: Tenants, store: ConversationStore, clock: Clock) -> None:
        self._tenants = tenants
        self._store = store
        self._clock = clock

    async def standing(self, tenant_id: str) -> Standing:
        """How a tenant's budget stands right now.

        Raises:
            NotFound: there is no such tenant.
        """
        tenant = await self._tenants.get(tenant_id)
        account = holds.budget(self._clock.now())
        balance = await self._store.balance(tenant.id, account)
        return Standing(
            month=account.period,
            budget=tenant.budget,
            spent=holds.dollars(balance.used),
            held=holds.dollars(balance.taken - balance.used),
        )


def standing_values(of: Standing) -> dict[str, Any]:
    """How a budget stands by name; amounts are text, which keeps them exact."""
    amounts = {"budget": of.budget, "spent": of.spent, "held": of.held, "left": of.left}
    told = {name: None if each is None else format(each, "f") for name, each in amounts.items()}
    return {"month": of.month, **told}
