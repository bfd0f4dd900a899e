"""The worker: removes a tenant, or what is stored of a user, for as long as that takes."""

import asyncio

from parley.bootstrap_admin import administration
from parley.edge.errands import errand_handler


async def erase(tenant: str, user: str | None) -> None:
    """Remove what is to be removed; what is gone already is done."""
    operator = administration()
    if user is None:
        await operator.tenants.end_deletion(tenant, pause=asyncio.sleep)
    else:
        await operator.people.delete(tenant, user)


handler = errand_handler(erase)
