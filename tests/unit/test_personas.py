"""Who may select which persona, and what becomes of personas."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from parley.adapters.memory import MemoryConversations, MemoryPersonas
from parley.adapters.system import RandomIds
from parley.domain.conversations import Conversation, Parameters
from parley.domain.errors import Conflict, Forbidden, InvalidRequest, ModelNotFound, NotFound
from parley.domain.ids import ConversationId
from parley.domain.personas import (
    PersonaContent,
    PersonaNotFound,
    PersonaRef,
    PersonaSelector,
    SelectorNotAllowed,
    VersionType,
)
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Caller, KeyKind, Tenant
from parley.services.conversations import Conversations
from parley.services.personas import Personas
from tests.support.clock import ManualClock

pytestmark = pytest.mark.anyio

TENANT = Tenant(
    id="acme",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    models={"small": ModelRoute("scripted", "small"), "large": ModelRoute("scripted", "large")},
)
TEST = Caller(TENANT, "key_1", KeyKind.TEST, default_persona="guide")
PRODUCTION = Caller(TENANT, "key_2", KeyKind.PRODUCTION, default_persona="guide")
BOTH = pytest.mark.parametrize("caller", [TEST, PRODUCTION], ids=["test", "production"])

FIRST = PersonaContent(name="Guide", system_prompt="First.")
SECOND = PersonaContent(
    name="Guide", system_prompt="Second.", model="large", parameters=Parameters(temperature=0.1)
)
DRAFT = PersonaContent(name="Guide", system_prompt="Draft.")


@pytest.fixture
async def personas(clock: ManualClock) -> Personas:
    """Persona 1, `guide`, is in its second version; persona 2, `draft`, was never submitted."""
    conversations = Conversations(MemoryConversations(clock), clock, RandomIds())
    personas = Personas(MemoryPersonas(), conversations, clock)
    await personas.create(TENANT, alias="guide", content=FIRST)
    await personas.submit(TENANT, 1)
    await personas.edit(TENANT, 1, SECOND)
    await personas.submit(TENANT, 1)
    await personas.edit(TENANT, 1, DRAFT)
    await personas.create(TENANT, alias="draft", content=DRAFT)
    return personas


def alias(text: str) -> PersonaSelector:
    return PersonaSelector(alias=text)


def by_id(number: int, version: VersionType) -> PersonaSelector:
    return PersonaSelector(ref=PersonaRef(number, version))


NEXT, IN_PRODUCTION = VersionType.NEXT, VersionType.PRODUCTION


def token(caller: Caller, ref: PersonaRef) -> Caller:
    return replace(caller, user="ada", persona=ref, default_persona=None)


# The rules ---------------------------------------------------------------------------------------


@BOTH
async def test_every_key_selects_what_is_in_production_by_alias(
    personas: Personas, caller: Caller
) -> None:
    selected = await personas.select(caller, alias("guide"))
    assert selected.content == SECOND
    assert (selected.ref, selected.number) == (PersonaRef(1, IN_PRODUCTION), 2)


@BOTH
async def test_without_a_selector_the_keys_default_persona_answers(
    personas: Personas, caller: Caller
) -> None:
    assert (await personas.select(caller, None)).content == SECOND


@BOTH
async def test_without_selector_and_default_the_caller_is_told_what_to_send(
    personas: Personas, caller: Caller
) -> None:
    with pytest.raises(InvalidRequest, match="no default persona") as refused:
        await personas.select(replace(caller, default_persona=None), None)
    assert refused.value.param == "persona"


async def test_a_test_key_selects_the_work_in_progress_by_id(personas: Personas) -> None:
    selected = await personas.select(TEST, by_id(1, NEXT))
    assert selected.content == DRAFT
    assert selected.number is None
    assert (await personas.select(TEST, by_id(2, NEXT))).content == DRAFT


async def test_a_test_key_selects_what_is_in_production_by_id(personas: Personas) -> None:
    assert (await personas.select(TEST, by_id(1, IN_PRODUCTION))).content == SECOND


@pytest.mark.parametrize("version", list(VersionType))
async def test_a_production_key_selects_nothing_by_id(
    personas: Personas, version: VersionType
) -> None:
    with pytest.raises(SelectorNotAllowed, match="Production keys select personas by alias only"):
        await personas.select(PRODUCTION, by_id(1, version))


async def test_a_production_key_is_refused_before_the_persona_is_looked_up(
    personas: Personas,
) -> None:
    with pytest.raises(SelectorNotAllowed):
        await personas.select(PRODUCTION, by_id(99, NEXT))


@BOTH
async def test_what_was_never_submitted_is_not_in_production(
    personas: Personas, caller: Caller
) -> None:
    with pytest.raises(PersonaNotFound, match="not been submitted to production"):
        await personas.select(caller, alias("draft"))


async def test_a_test_key_does_not_find_in_production_what_was_never_submitted(
    personas: Personas,
) -> None:
    with pytest.raises(PersonaNotFound, match="not been submitted to production"):
        await personas.select(TEST, by_id(2, IN_PRODUCTION))


@pytest.mark.parametrize("selector", [alias("nobody"), by_id(99, NEXT), by_id(99, IN_PRODUCTION)])
async def test_an_unknown_persona_is_not_found(
    personas: Personas, selector: PersonaSelector
) -> None:
    with pytest.raises(PersonaNotFound):
        await personas.select(TEST, selector)


async def test_another_tenants_persona_is_not_found(personas: Personas) -> None:
    stranger = replace(TEST, tenant=replace(TENANT, id="globex"))
    for selector in (None, alias("guide"), by_id(1, NEXT)):
        with pytest.raises(PersonaNotFound):
            await personas.select(stranger, selector)


async def test_a_token_selects_the_persona_it_was_issued_for(personas: Personas) -> None:
    selected = await personas.select(token(TEST, PersonaRef(1, NEXT)), None)
    assert selected.content == DRAFT
    selected = await personas.select(token(PRODUCTION, PersonaRef(1, IN_PRODUCTION)), None)
    assert selected.content == SECOND


async def test_a_token_may_name_its_own_persona_and_no_other(personas: Personas) -> None:
    production = token(PRODUCTION, PersonaRef(1, IN_PRODUCTION))
    assert (await personas.select(production, alias("guide"))).content == SECOND
    with pytest.raises(SelectorNotAllowed, match="Production keys"):
        await personas.select(production, by_id(1, NEXT))
    test = token(TEST, PersonaRef(1, NEXT))
    with pytest.raises(SelectorNotAllowed, match="another persona"):
        await personas.select(test, by_id(2, NEXT))


# Conversations -----------------------------------------------------------------------------------


async def begun(personas: Personas, caller: Caller, user: str | None) -> Conversation:
    """The conversation that a caller begins without a selector."""
    return await personas._conversations.get(caller, await personas.begin(caller, None, user=user))


async def test_a_conversation_takes_over_what_the_persona_is(personas: Personas) -> None:
    conversation = await begun(personas, PRODUCTION, "ada")
    assert conversation.user == "ada"
    assert conversation.title == "Guide"
    assert conversation.system_prompt == "Second."
    assert conversation.model == "large"
    assert conversation.parameters == Parameters(temperature=0.1)
    assert conversation.metadata == {
        "persona": {"persona_id": 1, "version_type": "production", "version": 2}
    }


async def test_a_token_begins_conversations_as_its_user_only(personas: Personas) -> None:
    caller = token(TEST, PersonaRef(1, NEXT))
    assert (await begun(personas, caller, None)).user == "ada"
    assert (await begun(personas, caller, "ada")).user == "ada"
    with pytest.raises(Forbidden):
        await personas.begin(caller, None, user="eve")


async def test_a_selector_of_a_continuation_is_held_to_the_sessions_persona(
    personas: Personas,
) -> None:
    conversation = await personas.begin(TEST, by_id(1, NEXT), user="ada")
    await personas.check_session(TEST, conversation, alias("guide"))
    with pytest.raises(InvalidRequest, match="another persona"):
        await personas.check_session(TEST, conversation, by_id(2, NEXT))
    with pytest.raises(SelectorNotAllowed):
        await personas.check_session(PRODUCTION, conversation, by_id(1, NEXT))
    with pytest.raises(NotFound):
        await personas.check_session(TEST, ConversationId(1), alias("guide"))


# The operator ------------------------------------------------------------------------------------


async def test_versions_are_numbered_and_stay_readable(personas: Personas) -> None:
    assert (await personas.get_version(TENANT, 1, 1)).content == FIRST
    assert (await personas.get_version(TENANT, 1, 2)).content == SECOND
    with pytest.raises(PersonaNotFound):
        await personas.get_version(TENANT, 1, 3)
    assert (await personas.submit(TENANT, 1)).number == 3
    assert (await personas.select(PRODUCTION, None)).content == DRAFT
    assert (await personas.get_version(TENANT, 1, 1)).content == FIRST


async def test_ids_count_up_unless_they_are_given(personas: Personas) -> None:
    given = await personas.create(TENANT, alias="given", content=DRAFT, persona_id=47)
    following = await personas.create(TENANT, alias="following", content=DRAFT)
    assert (given.id, following.id) == (47, 48)
    assert [persona.id for persona in await personas.list(TENANT)] == [1, 2, 47, 48]


async def test_what_is_taken_or_makes_no_sense_is_refused(personas: Personas) -> None:
    with pytest.raises(Conflict):
        await personas.create(TENANT, alias="guide", content=DRAFT)
    with pytest.raises(Conflict):
        await personas.create(TENANT, alias="new", content=DRAFT, persona_id=1)
    for text in ("", "a b", "ሰላም", "-a", "a" * 65):
        with pytest.raises(InvalidRequest):
            await personas.create(TENANT, alias=text, content=DRAFT)
    with pytest.raises(InvalidRequest):
        await personas.create(TENANT, alias="new", content=DRAFT, persona_id=0)
    with pytest.raises(ModelNotFound):
        await personas.edit(TENANT, 1, replace(DRAFT, model="huge"))
    with pytest.raises(PersonaNotFound):
        await personas.submit(TENANT, 99)
