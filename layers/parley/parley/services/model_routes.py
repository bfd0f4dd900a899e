"""What an operator does with the routes of tenants' models, and with the keys they need."""

import re

from parley.domain.errors import InvalidRequest
from parley.domain.routes import SECRET_NAME, upstream_secret
from parley.domain.tenants import Tenant
from parley.ports import SecretVault
from parley.services.administration.tenants import Tenants
from parley.services.route_files import read_routes

_KEY = re.compile(r"[!-~]{1,8192}")


class ModelRoutes:
    """Replaces the routes of tenants' models, and keeps the keys of servers they lead to."""

    def __init__(self, tenants: Tenants, secrets: SecretVault, *, stack: str) -> None:
        """Put in place what it works on.

        Args:
            stack: the deployment's name, with which the names of its secrets begin.
        """
        self._tenants = tenants
        self._secrets = secrets
        self._stack = stack

    async def replace(self, tenant: str, text: str) -> Tenant:
        """Put the routes of a text in place of a tenant's; returns the tenant as it is then.

        Every function instance follows as soon as it reads the tenant again: within
        `credentials.CACHE_SECONDS`.

        Raises:
            WrongRoutes: any of the text is wrong; nothing was changed.
            NotFound: there is no such tenant.
            Conflict: the tenant is being removed.
        """
        return await self._tenants.set_models(tenant, read_routes(text))

    async def keep_key(self, name: str, key: str) -> str:
        """Keep the key that routes name as their `secret`; returns the whole name it has in AWS.

        Every function instance that has read an older one follows within minutes.

        Raises:
            InvalidRequest: the name or the key can't be one.
            StoreUnavailable: it can't be written.
        """
        if not SECRET_NAME.fullmatch(name):
            raise InvalidRequest(f"{name!r} is no name of a secret.", param="name")
        if not _KEY.fullmatch(key):
            raise InvalidRequest("The key isn't one line of ASCII without spaces.", param="key")
        whole = upstream_secret(self._stack, name)
        await self._secrets.put(whole, key)
        return whole
