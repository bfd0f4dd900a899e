"""Tenants and API keys on DynamoDB."""

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import Database, Tables, put
from parley.domain.tenants import ApiKey, Tenant


class DynamoDirectory:
    """The `Directory` on DynamoDB: one read or write for each operation."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.directory

    @in_thread
    def find_key(self, digest: str) -> ApiKey | None:
        """The key with this digest."""
        item = self._database.get(self._table, keys.api_key(digest))
        return items.to_key(digest, item) if item else None

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
    def put_key(self, key: ApiKey) -> None:
        """Create or replace a key."""
        self._database.write(put(self._table, keys.api_key(key.digest), items.from_key(key)))
