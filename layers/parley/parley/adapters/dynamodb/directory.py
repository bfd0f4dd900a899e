"""Tenants and API keys on DynamoDB."""

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import Database, Tables, put
from parley.domain.apps import App
from parley.domain.tenants import ApiKey, Tenant


class DynamoDirectory:
    """The `Directory` on DynamoDB: one read or write for each operation.

    A key is kept twice, by its digest and by its id within its tenant; both are written together.
    """

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.directory

    @in_thread
    def find_key(self, digest: str) -> ApiKey | None:
        """The key with this digest."""
        item = self._database.get(self._table, keys.api_key(digest))
        return items.to_key(digest, item) if item else None

    @in_thread
    def get_key(self, tenant: str, key_id: str) -> ApiKey | None:
        """A tenant's key by its id."""
        item = self._database.get(self._table, keys.api_key_of(tenant, key_id))
        return items.to_key(item["digest"], item) if item else None

    @in_thread
    def get_tenant(self, tenant: str) -> Tenant | None:
        """The tenant of this id."""
        item = self._database.get(self._table, keys.tenant(tenant))
        return items.to_tenant(item) if item else None

    @in_thread
    def put_tenant(self, tenant: Tenant) -> None:
        """Create or replace a tenant."""
        self._database.write(put(self._table, keys.tenant(tenant.id), items.from_tenant(tenant)))

    @in_thread
    def get_app(self, tenant: str) -> App | None:
        """The tenant's app."""
        item = self._database.get(self._table, keys.app(tenant))
        return items.to_app(item) if item else None

    @in_thread
    def put_app(self, tenant: str, app: App) -> None:
        """Create or replace a tenant's app."""
        self._database.write(put(self._table, keys.app(tenant), items.from_app(app)))

    @in_thread
    def put_key(self, key: ApiKey) -> None:
        """Create or replace a key."""
        item = items.from_key(key)
        by_id = {**item, "digest": key.digest}
        self._database.transact(
            [
                put(self._table, keys.api_key(key.digest), item),
                put(self._table, keys.api_key_of(key.tenant, key.id), by_id),
            ]
        )
