"""Personas: written and submitted by the operator, selected by callers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parley.domain.errors import Conflict, InvalidRequest
from parley.domain.ids import ConversationId
from parley.domain.once import Once
from parley.domain.personas import (
    Persona,
    PersonaContent,
    PersonaNotFound,
    PersonaRef,
    PersonaSelector,
    PersonaVersion,
    SelectorNotAllowed,
    VersionType,
)
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.ports import Clock, PersonaStore
from parley.services.conversations import Conversations

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_METADATA = "persona"
_ID_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Selected:
    """The persona a caller selected, as it is at this moment."""

    ref: PersonaRef
    content: PersonaContent
    number: int | None
    """Of the submitted version; None for the work in progress."""


class Personas:
    """What the operator does with personas, and how callers come by one."""

    def __init__(self, store: PersonaStore, conversations: Conversations, clock: Clock) -> None:
        self._store = store
        self._conversations = conversations
        self._clock = clock

    # For the operator ----------------------------------------------------------------------------

    async def create(
        self,
        tenant: Tenant,
        *,
        alias: str,
        content: PersonaContent,
        persona_id: int | None = None,
    ) -> Persona:
        """Make a persona with this work in progress; nothing of it is in production yet.

        Args:
            alias: 1 to 64 letters, digits, dots, dashes and underscores.
            persona_id: None takes the number behind the tenant's highest.

        Raises:
            InvalidRequest: the alias is no such text, or the id isn't above 0.
            ModelNotFound: the tenant has no such model.
            Conflict: the alias or the id is taken.
        """
        if not _ALIAS.fullmatch(alias):
            raise InvalidRequest(
                "An alias is 1 to 64 letters, digits, dots, dashes and underscores, "
                "the first a letter or a digit.",
                param="alias",
            )
        if persona_id is not None and persona_id < 1:
            raise InvalidRequest("A persona's id is a number from 1 on.", param="persona_id")
        _check_model(tenant, content)
        now = self._clock.now()
        while True:
            present = await self._store.list_personas(tenant.id)
            if alias in (persona.alias for persona in present):
                raise Conflict(f"The alias `{alias}` is taken.", param="alias")
            following = present[-1].id + 1 if present else 1
            persona = Persona(
                id=persona_id or following,
                tenant=tenant.id,
                alias=alias,
                next=content,
                created_at=now,
                updated_at=now,
            )
            try:
                await self._store.create_persona(persona)
            except Conflict:
                if persona_id is not None:
                    raise
                continue  # somebody else took the number first
            return persona

    async def edit(self, tenant: Tenant, persona_id: int, content: PersonaContent) -> Persona:
        """Replace a persona's work in progress; what was submitted stays as it is.

        Raises:
            PersonaNotFound: there is none.
            ModelNotFound: the tenant has no such model.
            Conflict: somebody else changed it at the same moment.
        """
        _check_model(tenant, content)
        persona = await self.get(tenant, persona_id)
        edited = persona.edited(content, self._clock.now())
        await self._store.change_persona(edited)
        return edited

    async def submit(self, tenant: Tenant, persona_id: int) -> PersonaVersion:
        """Make the work in progress the persona's next production version.

        Raises:
            PersonaNotFound: there is none.
            Conflict: somebody else changed it at the same moment.
        """
        persona = await self.get(tenant, persona_id)
        submitted, version = persona.submitted(self._clock.now())
        await self._store.change_persona(submitted, version)
        return version

    async def roll_back(self, tenant: Tenant, persona_id: int, number: int) -> PersonaVersion:
        """Make an earlier version the newest again, under the next number.

        Raises:
            PersonaNotFound: there is no such persona, or no such version of it.
            ModelNotFound: the tenant doesn't have its model any more.
            Conflict: it is the newest, or somebody else changed the persona at the same moment.
        """
        persona = await self.get(tenant, persona_id)
        if number == persona.latest:
            raise Conflict(f"Version {number} is in production already.", param="version")
        version = await self.get_version(tenant, persona_id, number)
        _check_model(tenant, version.content)
        changed, newest = persona.rolled_back(version, self._clock.now())
        await self._store.change_persona(changed, newest)
        return newest

    async def find(self, tenant: Tenant, name: str) -> Persona:
        """The persona of this alias, or else of this id.

        Raises:
            PersonaNotFound: there is none.
        """
        found = await self._store.find_persona(tenant.id, name)
        if found is not None:
            return await self.get(tenant, found[0])
        if name.isascii() and name.isdecimal() and len(name) <= _ID_DIGITS:
            return await self.get(tenant, int(name))
        raise PersonaNotFound(f"There is no persona {name}.", param="persona")

    async def get(self, tenant: Tenant, persona_id: int) -> Persona:
        """A persona with its work in progress.

        Raises:
            PersonaNotFound: there is none.
        """
        persona = await self._store.get_persona(tenant.id, persona_id)
        if persona is None:
            raise PersonaNotFound(f"There is no persona {persona_id}.", param="persona")
        return persona

    async def list(self, tenant: Tenant) -> tuple[Persona, ...]:
        """All personas of a tenant, by id."""
        return await self._store.list_personas(tenant.id)

    async def get_version(self, tenant: Tenant, persona_id: int, number: int) -> PersonaVersion:
        """A version as it was submitted.

        Raises:
            PersonaNotFound: there is none.
        """
        version = await self._store.get_persona_version(tenant.id, persona_id, number)
        if version is None:
            raise PersonaNotFound(
                f"There is no version {number} of a persona {persona_id}.", param="persona"
            )
        return version

    # For callers ---------------------------------------------------------------------------------

    async def select(self, caller: Caller, selector: PersonaSelector | None) -> Selected:
        """The persona that a request is for, by the rules of the caller's credential.

        A production key selects by alias; a test key also by id and version type; a token is for
        one persona. Without a selector it is the token's persona or the key's default one.

        Raises:
            SelectorNotAllowed: the credential may not select like this; the message says why.
            InvalidRequest: nothing is selected, and the key has no default persona.
            PersonaNotFound: there is none, or nothing of it was submitted to production.
        """
        tenant = caller.tenant
        if caller.persona is not None and selector is None:
            return await self._by_ref(tenant, caller.persona)
        selected = await self._by_rules(caller, selector)
        if caller.persona not in {None, selected.ref}:
            raise SelectorNotAllowed("This token is for another persona.", param="persona")
        return selected

    async def begin(
        self,
        caller: Caller,
        selector: PersonaSelector | None,
        *,
        user: str | None,
        once: Once | None = None,
    ) -> ConversationId:
        """Begin a conversation with a persona, or go on with the one the same request has begun.

        It takes over what the persona is at this moment: later versions don't change it.

        Args:
            user: whose it is, where the credential leaves that open.
            once: the request, where it may be repeated.

        Raises:
            Forbidden: the credential speaks for another user, or may not select like this.
            ParleyError: as `select`.
        """
        if once is not None and once.begun is not None:
            return once.begun
        caller.owner(user)  # before a persona is looked up that the answer could tell of
        selected = await self.select(caller, selector)
        content = selected.content
        conversation = await self._conversations.create(
            caller,
            user=user,
            title=content.name,
            system_prompt=content.system_prompt or None,
            model=content.model,
            parameters=content.parameters,
            metadata={_METADATA: _described(selected)},
            once=once,
        )
        return conversation.id

    async def check_session(
        self,
        caller: Caller,
        conversation: ConversationId,
        selector: PersonaSelector,
        *,
        once: Once | None = None,
    ) -> None:
        """Hold a continued conversation to the persona that the request names.

        A conversation that was begun without a persona goes on as it was begun. A request that is
        told again was held to it when it came first.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            InvalidRequest: it is with another persona.
            ParleyError: as `select`.
        """
        if once is not None and once.is_told_again:
            return
        head = await self._conversations.get(caller, conversation)
        selected = await self.select(caller, selector)
        begun_with = head.metadata.get(_METADATA)
        if begun_with and begun_with.get("persona_id") != selected.ref.persona_id:
            raise InvalidRequest("This session is with another persona.", param="persona")

    async def _by_rules(self, caller: Caller, selector: PersonaSelector | None) -> Selected:
        if selector is None:
            if caller.default_persona is None:
                raise InvalidRequest(
                    "No persona is selected, and this key has no default persona: "
                    'send `"persona": {"alias": ...}`.',
                    param="persona",
                )
            return await self._by_alias(caller, caller.default_persona)
        if selector.ref is not None:
            if caller.kind is KeyKind.PRODUCTION:
                raise SelectorNotAllowed(
                    "Production keys select personas by alias only: "
                    'send `"persona": {"alias": ...}`, or no persona for the key\'s default one. '
                    "Test keys may name a persona_id and a version_type.",
                    param="persona",
                )
            return await self._by_ref(caller.tenant, selector.ref)
        return await self._by_alias(caller, selector.alias or "")

    async def _by_alias(self, caller: Caller, alias: str) -> Selected:
        found = await self._store.find_persona(caller.tenant.id, alias)
        if found is None:
            raise PersonaNotFound(f"There is no persona with the alias `{alias}`.", param="persona")
        persona_id, latest = found
        return await self._production(caller.tenant, persona_id, latest)

    async def _by_ref(self, tenant: Tenant, ref: PersonaRef) -> Selected:
        persona = await self.get(tenant, ref.persona_id)
        if ref.version is VersionType.NEXT:
            return Selected(ref, persona.next, None)
        return await self._production(tenant, ref.persona_id, persona.latest)

    async def _production(self, tenant: Tenant, persona_id: int, latest: int) -> Selected:
        if latest == 0:
            raise PersonaNotFound(
                "This persona has not been submitted to production yet; until then it answers "
                'test keys alone, by its persona_id and `"version_type": "next"`.',
                param="persona",
            )
        version = await self.get_version(tenant, persona_id, latest)
        ref = PersonaRef(persona_id, VersionType.PRODUCTION)
        return Selected(ref, version.content, version.number)


def _check_model(tenant: Tenant, content: PersonaContent) -> None:
    if content.model is not None:
        tenant.routes(content.model)


def _described(selected: Selected) -> Mapping[str, Any]:
    """What a conversation remembers of its persona."""
    described: dict[str, Any] = {
        "persona_id": selected.ref.persona_id,
        "version_type": selected.ref.version.value,
    }
    return described | ({"version": selected.number} if selected.number is not None else {})
