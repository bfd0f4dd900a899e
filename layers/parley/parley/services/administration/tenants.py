"""Tenants: taken on, held to limits, suspended, and removed with all that they have."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal

from parley.domain.apps import App
from parley.domain.errors import Conflict, InvalidRequest, NotFound
from parley.domain.origins import read_origins
from parley.domain.routes import Routes
from parley.domain.tenants import Limits, Tenant, TurnRules
from parley.ports import Clock, Directory, Erasure
from parley.services.administration.changes import (
    BUDGET,
    Value,
    check_value,
    limits_changed,
)
from parley.services.credentials import CACHE_SECONDS

CLOSED = timedelta(seconds=CACHE_SECONDS)
"""After this time nobody is let in any more for a tenant that was suspended, or is being removed.

For so long an instance trusts a credential that it has just seen.
"""

STOPPED = timedelta(seconds=5)
"""In this time a turn has ended whose conversation is gone: it looks every second."""

SETTLED = CLOSED + STOPPED
"""How long it takes at least to remove a tenant that wasn't suspended before."""

LONGEST_TURN = timedelta(minutes=15)
"""No function lives longer."""

TURN_RULES = tuple(rule.name for rule in fields(TurnRules))
"""The names of the rules for a tenant's turns."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


class Tenants:
    """The customers of the deployment."""

    def __init__(self, directory: Directory, erasure: Erasure, clock: Clock) -> None:
        self._directory = directory
        self._erasure = erasure
        self._clock = clock

    async def create(
        self,
        tenant_id: str,
        *,
        limits: Limits | None = None,
    ) -> Tenant:
        """Take on a tenant, which has no models yet.

        Args:
            tenant_id: 1 to 64 letters, digits, dots, dashes and underscores; it never changes.

        Raises:
            InvalidRequest: the id is no such text.
            Conflict: there is one of this id, or one is being removed.
        """
        if not _ID.fullmatch(tenant_id):
            raise InvalidRequest(
                "A tenant's id is 1 to 64 letters, digits, dots, dashes and underscores, "
                "the first a letter or a digit.",
                param="id",
            )
        tenant = Tenant(
            id=tenant_id,
            created_at=self._clock.now(),
            limits=limits or Limits(),
        )
        await self._directory.create_tenant(tenant)
        return tenant

    async def list(self) -> tuple[Tenant, ...]:
        """All tenants, by id; those being removed, too."""
        return await self._directory.list_tenants()

    async def get(self, tenant_id: str) -> Tenant:
        """A tenant.

        Raises:
            NotFound: there is none of this id.
        """
        tenant = await self._directory.get_tenant(tenant_id)
        if tenant is None:
            raise NotFound(f"There is no tenant {tenant_id}.", param="tenant")
        return tenant

    async def get_staying(self, tenant_id: str) -> Tenant:
        """A tenant that is about to be given something.

        Raises:
            NotFound: there is none of this id.
            Conflict: it is being removed, so that nothing that is its would be found any more.
        """
        tenant = await self.get(tenant_id)
        _check_stays(tenant)
        return tenant

    async def set_limits(self, tenant_id: str, changes: Mapping[str, Value]) -> Tenant:
        """Change some of a tenant's limits by name, and its `budget`; None lifts what can be.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: there is no limit of a name, or it can't be of that value.
            Conflict: the tenant is being removed.
        """
        others = {name: value for name, value in changes.items() if name != BUDGET}
        budget = changes.get(BUDGET)
        if budget is not None:
            check_value(BUDGET, budget)

        def change(tenant: Tenant) -> Tenant:
            changed = replace(tenant, limits=limits_changed(tenant.limits, others))
            if BUDGET not in changes:
                return changed
            return replace(changed, budget=None if budget is None else Decimal(budget))

        return await self._change(tenant_id, change)

    async def set_turns(self, tenant_id: str, changes: Mapping[str, bool]) -> Tenant:
        """Change some of the rules for a tenant's turns, by the names of `TurnRules`.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: there is no rule of a name.
            Conflict: the tenant is being removed.
        """
        for name in changes:
            if name not in TURN_RULES:
                raise InvalidRequest(
                    f"There is no rule {name}; there are {', '.join(TURN_RULES)}.", param=name
                )
        return await self._change(
            tenant_id, lambda tenant: replace(tenant, turns=replace(tenant.turns, **changes))
        )

    async def set_origins(self, tenant_id: str, origins: Collection[str]) -> Tenant:
        """Replace the origins of web pages that may read what a tenant's credentials get.

        Raises:
            NotFound: there is no such tenant.
            InvalidRequest: one is no origin.
        """
        found = read_origins(origins)
        return await self._change(tenant_id, lambda tenant: replace(tenant, origins=found))

    async def set_models(self, tenant_id: str, models: Mapping[str, Routes]) -> Tenant:
        """Replace a tenant's models, and where each of them leads.

        Raises:
            NotFound: there is no such tenant.
            Conflict: it is being removed.
        """
        return await self._change(tenant_id, lambda tenant: replace(tenant, models=models))

    async def suspend(self, tenant_id: str) -> Tenant:
        """Refuse a tenant's credentials, everywhere within half a minute; all else stays.

        Raises:
            NotFound: there is no such tenant.
        """
        now = self._clock.now()
        return await self._change(
            tenant_id,
            lambda tenant: replace(tenant, suspended_at=tenant.suspended_at or now),
        )

    async def resume(self, tenant_id: str) -> Tenant:
        """Accept a suspended tenant's credentials again, at once.

        Raises:
            NotFound: there is no such tenant.
            Conflict: it is being removed.
        """
        return await self._change(tenant_id, lambda tenant: replace(tenant, suspended_at=None))

    async def get_app(self, tenant_id: str) -> App:
        """A tenant's app; one without form and prompt where it has none.

        Raises:
            NotFound: there is no such tenant.
        """
        tenant = await self.get(tenant_id)
        return await self._directory.get_app(tenant.id) or App()

    async def set_app(self, tenant_id: str, app: App) -> None:
        """Replace a tenant's app.

        Raises:
            NotFound: there is no such tenant.
            ModelNotFound: it has no such model.
            Conflict: it is being removed.
        """
        tenant = await self.get_staying(tenant_id)
        if app.model is not None:
            tenant.routes(app.model)
        await self._directory.put_app(tenant.id, app)

    async def begin_deletion(self, tenant_id: str) -> Tenant:
        """Refuse a tenant's credentials for good; `delete` removes what it has.

        Raises:
            NotFound: there is no such tenant.
        """
        now = self._clock.now()
        return await self._change(
            tenant_id,
            lambda tenant: replace(tenant, deleted_at=tenant.deleted_at or now),
            also_leaving=True,
        )

    async def delete(
        self,
        tenant_id: str,
        *,
        pause: Pause,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Remove a tenant with everything that is its; when interrupted, call it again.

        Its credentials are refused from the beginning. What somebody may write who was admitted
        before that is removed as well: this waits until nobody is let in any more, and where a turn
        may still have run then, for it to stop, and looks a second time. The tenant's record goes
        last.

        Args:
            pause: waits.
            progress: told how many more items have been removed.

        Raises:
            NotFound: there is no such tenant, or not any more.
        """
        await self.begin_deletion(tenant_id)
        await self.end_deletion(tenant_id, pause=pause, progress=progress)

    async def end_deletion(
        self,
        tenant_id: str,
        *,
        pause: Pause,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Do what `delete` does for a tenant whose deletion has begun, and for no other.

        So who is asked to a second time doesn't remove a new tenant of the same name.

        Raises:
            NotFound: there is no such tenant, or it isn't being removed.
        """
        tenant = await self.get(tenant_id)
        if tenant.deleted_at is None:
            raise NotFound(f"The tenant {tenant_id} isn't being removed.", param="tenant")
        now = self._clock.now()
        closed_at = (tenant.suspended_at or tenant.deleted_at) + CLOSED
        if now < closed_at:
            await pause((closed_at - now).total_seconds())
            await self._check_same(tenant)
        await self._erasure.erase_tenant(tenant_id, progress=progress)
        if now < closed_at + LONGEST_TURN:
            await pause(STOPPED.total_seconds())
            await self._check_same(tenant)
            await self._erasure.erase_tenant(tenant_id, progress=progress)
        await self._directory.remove_tenant(tenant_id)

    async def _check_same(self, leaving: Tenant) -> None:
        """Let pass a deletion that nobody else has ended meanwhile.

        Raises:
            NotFound: somebody has; there may be a new tenant of that name.
        """
        tenant = await self.get(leaving.id)
        if tenant.deleted_at != leaving.deleted_at:
            raise NotFound(f"The tenant {leaving.id} has been removed.", param="tenant")

    async def _change(
        self,
        tenant_id: str,
        change: Callable[[Tenant], Tenant],
        *,
        also_leaving: bool = False,
    ) -> Tenant:
        """Change a tenant as it is now, whoever else changes it at the same moment."""
        while True:
            tenant = await self.get(tenant_id)
            if not also_leaving:
                _check_stays(tenant)
            changed = change(tenant)
            # Models that only change places are equal, though the first is the default.
            if changed == tenant and list(changed.models) == list(tenant.models):
                return tenant
            changed = replace(changed, revision=tenant.revision + 1)
            try:
                await self._directory.change_tenant(changed)
            except Conflict:
                continue
            return changed


def _check_stays(tenant: Tenant) -> None:
    if tenant.deleted_at is not None:
        raise Conflict(f"The tenant {tenant.id} is being removed.", param="tenant")


def status(tenant: Tenant) -> str:
    """Whether a tenant is `active`, `suspended` or being removed, as `deleting`."""
    if tenant.deleted_at is not None:
        return "deleting"
    return "active" if tenant.suspended_at is None else "suspended"


def since(tenant: Tenant) -> datetime:
    """Since when a tenant has the status that it has."""
    return tenant.deleted_at or tenant.suspended_at or tenant.created_at
