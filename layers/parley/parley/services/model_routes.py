"""What an operator does with a tenant's model routes."""

from dataclasses import replace

from parley.domain.errors import NotFound
from parley.domain.tenants import Tenant
from parley.ports import Directory
from parley.services.route_files import read_routes


class ModelRoutes:
    """Replaces the routes of tenants' models."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def replace(self, tenant: str, text: str) -> Tenant:
        """Put the routes of a text in place of a tenant's; returns the tenant as it is then.

        Every function instance follows as soon as it reads the tenant again: within
        `credentials.CACHE_SECONDS`.

        Raises:
            WrongRoutes: any of the text is wrong; nothing was changed.
            NotFound: there is no such tenant.
            Conflict: the tenant was changed by another at the same time; nothing was changed.
        """
        models = read_routes(text)
        before = await self._directory.get_tenant(tenant)
        if before is None:
            raise NotFound(f"There is no tenant {tenant}.")
        after = replace(before, models=models, revision=before.revision + 1)
        await self._directory.change_tenant(after)
        return after
