"""Requests and replies of the admin API."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, field_validator

from parley.dialects.admin.documents import NUMBER, Document, PersonaDocument, ProductDocument
from parley.dialects.fields import MAX_INTEGER, Identifier
from parley.domain.catalogue import Product
from parley.domain.origins import ORIGIN
from parley.domain.tenants import SCOPES, KeyKind

MAX_PRODUCTS = 200
"""Of a catalogue that comes in a request: reading one product takes some 70 ms, and the gateway
waits for 29 seconds."""

MAX_ROWS = 10_000
"""Of a report; more than that doesn't fit a reply."""

MAX_ORIGINS = 100
"""Of a tenant, which is read with them wherever one of its keys is."""

LONGEST_ORIGIN = len("https://") + 253 + len(":65535")
"""Characters; a host's name has 253 at most."""

LONGEST_OVERLAP = timedelta(days=90)

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

TenantId = Annotated[str, Field(pattern=_NAME, description="The tenant's id.")]
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", description="The key's id.")]
PersonaName = Annotated[
    str, Field(pattern=_NAME, description="The persona's alias, or else its number.")
]
User = Annotated[Identifier, Field(description="The user, as the tenant's requests name them.")]
Number = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


# Tenants ---------------------------------------------------------------------------------------


_Whole = Annotated[int, Field(ge=0, le=MAX_INTEGER), NUMBER]
_Amount = Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6)]
_Origin = Annotated[
    str, Field(max_length=LONGEST_ORIGIN, json_schema_extra={"pattern": f"^{ORIGIN.pattern}$"})
]


class LimitsBody(Document):
    """Some of a tenant's limits and its monthly budget in US dollars.

    What isn't named stays as it is; null lifts what can be lifted.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"requests_per_minute": 600, "budget": "25.00"}]},
    )

    requests_per_minute: _Whole = 0
    messages_per_second: _Whole = 0
    connections: _Whole = 0
    tokens_per_minute: _Whole | None = None
    concurrent_turns: _Whole | None = None
    budget: _Amount | None = None


class TurnRulesBody(Document):
    """Some of the rules for a tenant's turns; what isn't named stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"one_at_a_time": True}]}
    )

    stored_run_on: StrictBool = Field(
        default=True, description="A stored conversation's turn goes on when its client leaves."
    )
    completions_run_on: StrictBool = Field(
        default=False,
        description=(
            "So does a stateless completion; else it is cancelled. One with an `Idempotency-Key` "
            "always goes on."
        ),
    )
    one_at_a_time: StrictBool = Field(
        default=False, description="A conversation refuses a turn while another isn't over."
    )


class OriginsBody(Document):
    """The origins of all web pages that may use a tenant's keys, as browsers write them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"origins": ["https://shop.example"]}]},
    )

    origins: Annotated[list[_Origin], Field(max_length=MAX_ORIGINS)]


class KeyLimitsBody(Document):
    """Some of a key's own limits, within its tenant's.

    What isn't named stays as it is; null lifts a limit.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"concurrent_turns": 4}]}
    )

    requests_per_minute: _Whole | None = None
    tokens_per_minute: _Whole | None = None
    concurrent_turns: _Whole | None = None
    budget: _Amount | None = None


class TenantBody(Document):
    """POST /admin/v1/tenants."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"id": "acme"}]})

    id: Annotated[str, Field(pattern=_NAME)]


class TenantOut(BaseModel):
    """A tenant; `status` is `active`, `suspended`, or `deleting` for as long as it is removed.

    Its budget is among the limits; null is as much as may be.
    """

    id: str
    status: str
    since: datetime
    created_at: datetime
    limits: dict[str, Any]
    turns: dict[str, Any]
    origins: list[str]
    models: list[str]


class TenantPage(BaseModel):
    """Some of the tenants, by id."""

    tenants: list[TenantOut]
    has_more: bool


class BudgetOut(BaseModel):
    """How a tenant's budget stands in a month in UTC, such as `2026-11`; amounts are US dollars.

    What turns may still take is `left`: not what is `spent`, nor what running turns have `held`,
    as they may cost that much. `budget` and `left` are null where there is no budget.
    """

    month: str
    budget: str | None
    spent: str
    held: str
    left: str | None


# Keys ------------------------------------------------------------------------------------------

Scope = Annotated[str, Field(json_schema_extra={"enum": list(SCOPES)})]


class KeyBody(Document):
    """POST /admin/v1/tenants/{tenant}/keys."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "prod", "scopes": ["openai", "sessions"]}]},
    )

    kind: KeyKind = KeyKind.TEST
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    default_persona: Annotated[str, Field(pattern=_NAME)] | None = None
    expires_at: AwareDatetime | None = None


class RotationBody(Document):
    """POST /admin/v1/tenants/{tenant}/keys/{key}/rotate."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3600}]}
    )

    overlap_seconds: Annotated[
        int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds())), NUMBER
    ] = 86_400
    expires_at: AwareDatetime | None = None


class KeyOut(BaseModel):
    """What there is to know of a key; `scopes` is null where it is for every API."""

    id: str
    tenant: str
    kind: KeyKind
    status: str
    scopes: list[str] | None
    default_persona: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None
    limits: dict[str, Any]


class NewKeyOut(KeyOut):
    """A new key with its text, which can't be shown again."""

    key: str


class RotatedKeyOut(NewKeyOut):
    """A new key, and the one that it replaces."""

    replaces: KeyOut


class KeyList(BaseModel):
    """A tenant's keys, by time of creation."""

    keys: list[KeyOut]


# Personas and catalogues -----------------------------------------------------------------------


class PersonaBody(Document):
    """POST /admin/v1/tenants/{tenant}/personas."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "alias": "guide",
                    "content": {"name": "Travel guide", "system_prompt": "You are a guide."},
                }
            ]
        },
    )

    alias: Annotated[str, Field(pattern=_NAME)]
    content: PersonaDocument


class RollbackBody(Document):
    """POST /admin/v1/tenants/{tenant}/personas/{persona}/rollback."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": 1}]})

    version: Annotated[Number, NUMBER]


class PersonaOut(BaseModel):
    """A persona without its content; `production` is the version in production, if there is one."""

    id: int
    tenant: str
    alias: str
    production: int | None
    created_at: datetime
    updated_at: datetime


class PersonaShown(PersonaOut):
    """A persona with a version of its content; without `version` the work in progress."""

    version: int | None
    content: dict[str, Any]


class PersonaList(BaseModel):
    """A tenant's personas, by id."""

    personas: list[PersonaOut]


class CatalogueBody(Document):
    """PUT /admin/v1/tenants/{tenant}/catalogue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "products": [
                        {
                            "id": 1,
                            "name": "Moonlight 2",
                            "description": "A light tent for two.",
                            "price": 149.9,
                            "currency": "EUR",
                            "url": "https://shop.example/tents/1",
                            "stock": 12,
                        }
                    ]
                }
            ]
        },
    )

    products: Annotated[list[ProductDocument], Field(min_length=1, max_length=MAX_PRODUCTS)]

    @field_validator("products")
    @classmethod
    def _has_each_id_once(cls, products: list[ProductDocument]) -> list[ProductDocument]:
        if len({product.id for product in products}) < len(products):
            raise ValueError("two products have one id")
        return products

    def read(self) -> tuple[Product, ...]:
        """The products that this says."""
        return tuple(product.read() for product in self.products)


class CatalogueOut(BaseModel):
    """Which catalogue a tenant has."""

    tenant: str
    version: str
    digest: str
    embedder: str
    size: int


# People and usage ------------------------------------------------------------------------------


class ConversationOut(BaseModel):
    """A conversation without what was said in it."""

    id: str
    number: int
    user: str
    title: str | None
    model: str | None
    message_count: int
    created_at: datetime
    updated_at: datetime


class ConversationPage(BaseModel):
    """Some of a user's conversations, newest first."""

    conversations: list[ConversationOut]
    has_more: bool


class RemovedOut(BaseModel):
    """What was removed of a user's data; the ledger's lines stay, without the name."""

    tenant: str
    conversations: int
    completions: int
    ledger_lines: int


class UnfinishedOut(BaseModel):
    """More than one request can remove; it goes on by itself."""

    tenant: str
    status: str = "deleting"


EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of the export.",
        "headers": {"x-next-cursor": {"schema": {"type": "string"}}},
        "content": {"application/jsonl": {"schema": {"type": "string"}}},
    }
}
"""What OpenAPI says of an export."""

ROUTES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "object"}},
                    "examples": [{"small": [{"backend": "embedded", "model": "smollm2-135m"}]}],
                }
            }
        },
    }
}
"""What OpenAPI says of a tenant's routes, which are read as text so that mistakes have lines."""


class ReportOut(BaseModel):
    """Sums for each combination of what `by` names, and for all of them."""

    since: date
    until: date
    rows: list[dict[str, Any]]
    total: dict[str, Any]
