"""Personas and their versions on DynamoDB."""

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys
from parley.adapters.dynamodb.client import ConditionFailed, Database, Tables, put, put_new, update
from parley.domain.errors import Conflict
from parley.domain.personas import Persona, PersonaVersion


class DynamoPersonas:
    """The `PersonaStore` on DynamoDB, in the directory's table.

    An alias leads to a persona's id and to its newest version's number, so that what production
    answers with is two reads away.
    """

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.directory

    @in_thread
    def create_persona(self, persona: Persona) -> None:
        """Keep a new persona and its alias."""
        item = items.from_persona(persona)
        alias = {"persona": persona.id, "latest": persona.latest}
        try:
            self._database.transact(
                [
                    put_new(self._table, keys.persona(persona.tenant, persona.id), item),
                    put_new(self._table, keys.persona_alias(persona.tenant, persona.alias), alias),
                ]
            )
        except ConditionFailed as error:
            raise Conflict(
                f"The tenant has a persona {persona.id}, or one with the alias `{persona.alias}`."
            ) from error

    @in_thread
    def get_persona(self, tenant: str, persona_id: int) -> Persona | None:
        """A persona with its work in progress."""
        item = self._database.get(self._table, keys.persona(tenant, persona_id))
        return items.to_persona(item) if item else None

    @in_thread
    def find_persona(self, tenant: str, alias: str) -> tuple[int, int] | None:
        """The id of the persona with this alias and the number of its newest version."""
        item = self._database.get(self._table, keys.persona_alias(tenant, alias))
        return (item["persona"], item["latest"]) if item else None

    @in_thread
    def list_personas(self, tenant: str) -> tuple[Persona, ...]:
        """All personas of a tenant."""
        found = self._database.query(self._table, keys.personas(tenant))
        return tuple(items.to_persona(item) for item in found)

    @in_thread
    def change_persona(self, persona: Persona, version: PersonaVersion | None = None) -> None:
        """Replace a persona, and keep the version that was just submitted."""
        tenant = persona.tenant
        writes = [
            put(
                self._table,
                keys.persona(tenant, persona.id),
                items.from_persona(persona),
                condition="#revision = :before",
                values={"before": persona.revision - 1},
            )
        ]
        if version is not None:
            writes += [
                put_new(
                    self._table,
                    keys.persona_version(tenant, persona.id, version.number),
                    items.from_persona_version(version),
                ),
                update(
                    self._table,
                    keys.persona_alias(tenant, persona.alias),
                    "SET #latest = :latest",
                    {"latest": version.number},
                    condition="attribute_exists(#pk)",
                ),
            ]
        try:
            self._database.transact(writes)
        except ConditionFailed as error:
            raise Conflict(
                f"Persona {persona.id} was changed in the meantime; read it again."
            ) from error

    @in_thread
    def get_persona_version(
        self, tenant: str, persona_id: int, number: int
    ) -> PersonaVersion | None:
        """A submitted version."""
        item = self._database.get(self._table, keys.persona_version(tenant, persona_id, number))
        return items.to_persona_version(item) if item else None
