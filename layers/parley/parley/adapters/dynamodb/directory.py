"""Tenants and API keys on DynamoDB."""

from contextlib import suppress

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Database,
    Tables,
    Write,
    delete,
    put,
    put_new,
)
from parley.domain.apps import App
from parley.domain.errors import Conflict
from parley.domain.tenants import ApiKey, Tenant


class DynamoDirectory:
    """The `Directory` on DynamoDB: one read or write for each operation.

    A tenant stands in the list of all besides, which nobody but the operator reads. A key is kept
    twice, by its digest and by its id within its tenant; both are written together.
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
    def list_tenants(self) -> tuple[Tenant, ...]:
        """All tenants: a query of their list, then the tenants in batches."""
        listed = self._database.query(self._table, keys.list_of_tenants())
        found = self._database.get_many(self._table, (keys.tenant(entry["id"]) for entry in listed))
        tenants = [items.to_tenant(item) for item in found.values()]
        return tuple(sorted(tenants, key=lambda tenant: tenant.id))

    @in_thread
    def put_tenant(self, tenant: Tenant) -> None:
        """Create or replace a tenant."""
        self._database.transact(
            [
                put(self._table, keys.tenant(tenant.id), items.from_tenant(tenant)),
                put(self._table, keys.listed_tenant(tenant.id), {"id": tenant.id}),
            ]
        )

    @in_thread
    def create_tenant(self, tenant: Tenant) -> None:
        """Keep a new tenant."""
        try:
            self._database.transact(
                [
                    put_new(self._table, keys.tenant(tenant.id), items.from_tenant(tenant)),
                    put(self._table, keys.listed_tenant(tenant.id), {"id": tenant.id}),
                ]
            )
        except ConditionFailed as refusal:
            raise Conflict(f"There is a tenant {tenant.id} already.", param="id") from refusal

    @in_thread
    def change_tenant(self, tenant: Tenant) -> None:
        """Replace a tenant."""
        try:
            self._database.write(
                put(
                    self._table,
                    keys.tenant(tenant.id),
                    items.from_tenant(tenant),
                    condition="#revision = :before",
                    values={"before": tenant.revision - 1},
                )
            )
        except ConditionFailed as refusal:
            raise Conflict(f"{tenant.id} was changed in the meantime.") from refusal

    @in_thread
    def remove_tenant(self, tenant: str) -> None:
        """Remove a tenant's record and its entry in the list."""
        record = delete(self._table, keys.tenant(tenant), condition="attribute_exists(#deleted_at)")
        with suppress(ConditionFailed):
            self._database.transact([record, delete(self._table, keys.listed_tenant(tenant))])

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
    def list_keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys: one query."""
        found = self._database.query(self._table, keys.api_keys_of(tenant))
        listed = [items.to_key(item["digest"], item) for item in found]
        return tuple(sorted(listed, key=lambda key: key.created_at))

    @in_thread
    def put_key(self, key: ApiKey) -> None:
        """Create or replace a key."""
        self._database.transact(self._writes(key))

    @in_thread
    def change_key(self, key: ApiKey, *, successor: ApiKey | None = None) -> None:
        """Replace a key, and keep the new one."""
        try:
            self._database.transact(
                [
                    *self._writes(key, instead_of=key.revision - 1),
                    *(self._writes(successor) if successor else ()),
                ]
            )
        except ConditionFailed as refusal:
            raise Conflict(f"The key {key.id} was changed in the meantime.") from refusal

    def _writes(self, key: ApiKey, *, instead_of: int | None = None) -> list[Write]:
        """What keeps a key, in place of one of a revision if that is named."""
        by_digest = items.from_key(key)
        by_id = {**by_digest, "digest": key.digest}
        place = keys.api_key_of(key.tenant, key.id)
        return [
            put(self._table, keys.api_key(key.digest), by_digest),
            put(self._table, place, by_id)
            if instead_of is None
            else put(
                self._table,
                place,
                by_id,
                condition="attribute_exists(#pk)"
                " AND (#revision = :before OR attribute_not_exists(#revision))",
                values={"before": instead_of},
            ),
        ]
