"""Tenants, their API keys and the models they may name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from parley.domain.conversations import DEFAULT_USER, Scope
from parley.domain.errors import Forbidden, ModelNotFound
from parley.domain.personas import PersonaRef
from parley.domain.routes import ModelRoute, Routes

CATCH_ALL = "*"
"""The model name whose route serves every name that has none of its own."""


SCOPES = ("openai", "sessions", "tenant", "apps", "personas", "consultant")
"""What a key can be for: each API is a scope of its name."""


class TenantSuspended(Forbidden):
    """The credential is valid, but its tenant may not use the deployment at present."""

    code = "tenant_suspended"


class OutOfScope(Forbidden):
    """The credential is valid, but not for this API."""

    code = "out_of_scope"


class KeyKind(StrEnum):
    """What a key is for; it shows in the key's text."""

    TEST = "test"
    PRODUCTION = "prod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tenant may use."""

    requests_per_minute: int = 100
    messages_per_second: int = 10
    """On one WebSocket connection."""
    connections: int = 50
    """WebSocket connections open at a time."""
    tokens_per_minute: int | None = None
    """Of prompts and replies; None is as many as may be."""
    concurrent_turns: int | None = None
    """Turns that run at a time; None is as many as may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """What one API key may use of what its tenant may; None is all of it."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_turns: int | None = None
    budget: Decimal | None = None
    """US dollars a month."""


UNLIMITED = KeyLimits()
"""A key's that may use whatever its tenant may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRules:
    """What becomes of a tenant's turns where there is a choice."""

    stored_run_on: bool = True
    """Whether a stored conversation's turn goes on to its end when its client leaves."""
    completions_run_on: bool = False
    """Whether a stateless completion without an idempotency key does; else it is cancelled."""
    one_at_a_time: bool = False
    """Whether a conversation refuses a turn while another isn't over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A customer of the deployment; all data belongs to exactly one."""

    id: str
    created_at: datetime
    models: Mapping[str, Routes] = field(default_factory=dict)
    """Routes by the name callers use; the first is the default."""
    limits: Limits = field(default_factory=Limits)
    budget: Decimal | None = None
    """US dollars that turns may cost in a month in UTC; None is without end."""
    turns: TurnRules = field(default_factory=TurnRules)
    origins: frozenset[str] = frozenset()
    """Of web pages that may read what is answered to its credentials; none may by default."""
    suspended_at: datetime | None = None
    """Since when its credentials are refused; its data stays as it is."""
    deleted_at: datetime | None = None
    """Since when its data is being removed; there are no credentials of it any more."""
    revision: int = 1
    """Goes up with every change, so that of two changes at once the second is refused."""

    @property
    def default_model(self) -> str:
        """The model of a conversation that names none.

        Raises:
            ModelNotFound: the tenant has no model by name.
        """
        for name in self.models:
            if name != CATCH_ALL:
                return name
        raise ModelNotFound("No model is configured for this account.", param="model")

    def routes(self, name: str) -> tuple[ModelRoute, ...]:
        """The routes of a model name, in the order in which they are tried; at least one.

        Raises:
            ModelNotFound: neither a route of that name nor a catch-all exists.
        """
        routes = self.models.get(name) or self.models.get(CATCH_ALL)
        if not routes:
            raise ModelNotFound(
                f"The model `{name}` does not exist or you do not have access to it.",
                param="model",
            )
        several = routes if isinstance(routes, tuple) else (routes,)
        return tuple(
            replace(route, model=name) if route.model == CATCH_ALL else route for route in several
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of an API key; its text is shown once and never stored."""

    id: str
    tenant: str
    kind: KeyKind
    digest: str
    created_at: datetime
    revoked_at: datetime | None = None
    default_persona: str | None = None
    """The alias of the persona that answers where a request names none."""
    expires_at: datetime | None = None
    """From when on it is refused; None is never."""
    scopes: frozenset[str] | None = None
    """Those of `SCOPES` it is for; None is all, those of days to come included."""
    limits: KeyLimits = UNLIMITED
    replaced_by: str | None = None
    """The id of the key that was made in its place."""
    revision: int = 1
    """Goes up with every change, so that of two changes at once the second is refused."""

    def is_valid(self, at: datetime) -> bool:
        """Whether it is neither revoked nor expired at this moment."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, as the credential proved it."""

    tenant: Tenant
    key_id: str
    kind: KeyKind
    user: str | None = None
    """Set when the caller speaks for one user only, as with a token."""
    persona: PersonaRef | None = None
    """The persona that a token was issued for; set with every token and with nothing else."""
    default_persona: str | None = None
    """The alias of the persona that answers where an API key's request names none."""
    scopes: frozenset[str] | None = None
    """What the API key is for, the token's own where it is one; None is everything."""
    limits: KeyLimits = UNLIMITED
    """Those of the API key, or of the one that the token was issued with."""

    @property
    def scope(self) -> Scope:
        """Whose data this caller may touch."""
        return Scope(self.tenant.id, self.user)

    def owner(self, user: str | None) -> str:
        """Whose data a request is about that names this user, or none.

        Raises:
            Forbidden: the credential speaks for another user.
        """
        if self.user is not None and user is not None and user != self.user:
            raise Forbidden("This token speaks for another user.")
        return self.user or user or DEFAULT_USER

    def check_scope(self, scope: str) -> None:
        """Let pass who comes with a credential for this API.

        Raises:
            OutOfScope: it is for others.
        """
        if self.scopes is not None and scope not in self.scopes:
            raise OutOfScope("This API key is not for this API.")

    def acting_for(self, user: str | None) -> "Caller":
        """This caller, held to the data of the owner of a request that names this user, or none.

        Raises:
            Forbidden: the credential speaks for another user.
        """
        return replace(self, user=self.owner(user))
