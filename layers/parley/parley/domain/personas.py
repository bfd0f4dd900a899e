"""Personas: who answers in a conversation, in versions."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from parley.domain.conversations import Parameters
from parley.domain.errors import Forbidden, NotFound


class PersonaNotFound(NotFound):
    """The tenant has no such persona, or none that may be used yet."""

    code = "persona_not_found"


class SelectorNotAllowed(Forbidden):
    """The credential may not select a persona in this way."""

    code = "persona_selector_not_allowed"


class VersionType(StrEnum):
    """Which version of a persona is meant; the values are the words of the wire."""

    NEXT = "next"
    """The work in progress."""
    PRODUCTION = "production"
    """The version that was submitted last."""


@dataclass(frozen=True, slots=True)
class PersonaRef:
    """A persona in one of its versions, without saying what that version holds by now."""

    persona_id: int
    version: VersionType


@dataclass(frozen=True, slots=True)
class PersonaSelector:
    """How a caller names a persona: by its alias, or by its id and the version's type."""

    alias: str | None = None
    ref: PersonaRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaContent:
    """What a conversation takes over from its persona."""

    name: str
    system_prompt: str
    model: str | None = None
    """The tenant's name of a model; None follows the tenant's default."""
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaVersion:
    """A content as it was submitted to production; it never changes again."""

    number: int
    """Counted from 1 within the persona."""
    content: PersonaContent
    submitted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A persona with its work in progress; what was submitted is kept beside it."""

    id: int
    """A number within the tenant, from 1 on."""
    tenant: str
    alias: str
    """The name that production callers use; unique within the tenant, and never changed."""
    next: PersonaContent
    created_at: datetime
    updated_at: datetime
    latest: int = 0
    """The number of the newest submitted version; 0 before the first."""
    revision: int = 1
    """Goes up with every change, so that of two changes at once the second is refused."""

    def edited(self, content: PersonaContent, at: datetime) -> Self:
        """The persona with another work in progress."""
        return replace(self, next=content, updated_at=at, revision=self.revision + 1)

    def submitted(self, at: datetime) -> tuple[Self, PersonaVersion]:
        """The persona after its work in progress was submitted, and the version that made."""
        return self._with(self.next, at)

    def rolled_back(self, to: PersonaVersion, at: datetime) -> tuple[Self, PersonaVersion]:
        """The persona after an earlier version was made its newest, and the version that made.

        Numbers only rise, and the work in progress stays as it is.
        """
        return self._with(to.content, at)

    def _with(self, content: PersonaContent, at: datetime) -> tuple[Self, PersonaVersion]:
        version = PersonaVersion(number=self.latest + 1, content=content, submitted_at=at)
        persona = replace(self, latest=version.number, updated_at=at, revision=self.revision + 1)
        return persona, version
