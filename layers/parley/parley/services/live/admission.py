"""How many connections a tenant may have open."""

import asyncio
import logging
from datetime import timedelta

from parley.domain.errors import ParleyError, TooManyConnections
from parley.domain.sockets import Connection, Slot
from parley.domain.tenants import Tenant
from parley.ports import Clock, Connections, Counter, EventLog, Sockets

log = logging.getLogger(__name__)

HANDSHAKE = timedelta(seconds=30)
"""No handshake takes longer; while it lasts, a connection can't be told from one that is gone."""

RETRY_SECONDS = 5.0
"""When to try again where no slot is free; nobody knows when one will be."""


class Admission:
    """Gives a tenant's slots to its connections, and takes them back."""

    def __init__(
        self,
        connections: Connections,
        events: EventLog,
        sockets: Sockets,
        counter: Counter,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._events = events
        self._sockets = sockets
        self._counter = counter
        self._clock = clock

    async def take_slot(self, tenant: Tenant, connection: str) -> int:
        """Take a slot for a connection.

        Raises:
            TooManyConnections: all belong to connections that are open.
        """
        slot = await self._try_to_take(tenant, connection)
        if slot is None and await self._free_abandoned(tenant):
            slot = await self._try_to_take(tenant, connection)
        if slot is None:
            raise TooManyConnections(
                f"The limit of {tenant.limits.connections} open connections is reached. "
                "Close one, then try again.",
                retry_after=RETRY_SECONDS,
            )
        return slot

    async def leave(self, connection: Connection) -> None:
        """Take back what a connection has, its slot first."""
        await self._connections.free_slot(connection.tenant, connection.slot, connection.id)
        await self._events.unsubscribe(connection.chat, connection.id)
        await self._connections.unregister(connection.id)

    async def _try_to_take(self, tenant: Tenant, connection: str) -> int | None:
        return await self._connections.take_slot(
            tenant.id, connection, limit=tenant.limits.connections, at=self._clock.now()
        )

    async def _free_abandoned(self, tenant: Tenant) -> bool:
        """Free the slots of connections that are gone though nobody was told; whether there are.

        At most once a second for each tenant, as it asks after every connection.
        """
        admitted, _, _ = await self._counter.admit(f"{tenant.id}#probes", limit=1, window=1)
        if not admitted:
            return False
        slots = await self._connections.slots(tenant.id)
        return any(await asyncio.gather(*(self._free_if_gone(tenant, slot) for slot in slots)))

    async def _free_if_gone(self, tenant: Tenant, slot: Slot) -> bool:
        if slot.taken_at + HANDSHAKE > self._clock.now():
            return False
        try:
            if await self._sockets.is_open(slot.connection):
                return False
        except ParleyError:
            return False
        log.info("freed the slot of a connection that is gone", extra={"tenant": tenant.id})
        connection = await self._connections.find(slot.connection)
        if connection is None:
            await self._connections.free_slot(tenant.id, slot.number, slot.connection)
        else:
            await self.leave(connection)
        return True
