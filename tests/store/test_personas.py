"""What a `PersonaStore` promises."""

import asyncio
from typing import Any

import pytest

from parley.domain.conversations import Parameters
from parley.domain.errors import Conflict
from parley.domain.personas import Persona, PersonaContent
from tests.support.stores import Stores

pytestmark = pytest.mark.anyio

CONTENT = PersonaContent(
    name="Guide",
    system_prompt="Du kennst jede Straße. ሰላም",
    model="a-model",
    parameters=Parameters(temperature=0.3, max_tokens=50, stop=("END", "\n\n")),
)
BARE = PersonaContent(name="Bare", system_prompt="")


def a_persona(stores: Stores, **fields: Any) -> Persona:
    values: dict[str, Any] = {
        "id": 47,
        "tenant": stores.tenant,
        "alias": "guide",
        "next": CONTENT,
        "created_at": stores.clock.now(),
        "updated_at": stores.clock.now(),
    }
    return Persona(**(values | fields))


async def created(stores: Stores, **fields: Any) -> Persona:
    persona = a_persona(stores, **fields)
    await stores.personas.create_persona(persona)
    return persona


async def test_a_persona_is_read_as_it_was_created(stores: Stores) -> None:
    persona = await created(stores)
    bare = await created(stores, id=2**53 - 1, alias="#", next=BARE)
    assert await stores.personas.get_persona(stores.tenant, 47) == persona
    assert await stores.personas.get_persona(stores.tenant, bare.id) == bare


async def test_a_persona_is_found_by_its_alias(stores: Stores) -> None:
    await created(stores)
    assert await stores.personas.find_persona(stores.tenant, "guide") == (47, 0)
    assert await stores.personas.find_persona(stores.tenant, "Guide") is None


async def test_an_id_and_an_alias_are_given_once(stores: Stores) -> None:
    persona = await created(stores)
    for again in (a_persona(stores, id=48), a_persona(stores, alias="other")):
        with pytest.raises(Conflict):
            await stores.personas.create_persona(again)
    assert await stores.personas.list_personas(stores.tenant) == (persona,)
    assert await stores.personas.find_persona(stores.tenant, "other") is None


async def test_personas_are_listed_by_id_without_their_versions(stores: Stores) -> None:
    tenth = await created(stores, id=10, alias="tenth")
    second = await created(stores, id=2, alias="second")
    changed, version = tenth.submitted(stores.clock.now())
    await stores.personas.change_persona(changed, version)
    assert await stores.personas.list_personas(stores.tenant) == (second, changed)


async def test_a_change_replaces_the_work_in_progress(stores: Stores) -> None:
    persona = await created(stores)
    stores.clock.advance(60)
    edited = persona.edited(BARE, stores.clock.now())
    await stores.personas.change_persona(edited)
    assert await stores.personas.get_persona(stores.tenant, 47) == edited


async def test_submitted_versions_stay_as_they_were(stores: Stores) -> None:
    persona, first = (await created(stores)).submitted(stores.clock.now())
    await stores.personas.change_persona(persona, first)
    stores.clock.advance(60)
    persona = persona.edited(BARE, stores.clock.now())
    await stores.personas.change_persona(persona)
    persona, second = persona.submitted(stores.clock.now())
    await stores.personas.change_persona(persona, second)
    assert (first.content, second.content) == (CONTENT, BARE)
    assert await stores.personas.get_persona_version(stores.tenant, 47, 1) == first
    assert await stores.personas.get_persona_version(stores.tenant, 47, 2) == second
    assert await stores.personas.get_persona_version(stores.tenant, 47, 3) is None
    assert await stores.personas.find_persona(stores.tenant, "guide") == (47, 2)


async def test_a_change_of_what_was_read_too_long_ago_is_refused_whole(stores: Stores) -> None:
    read = await created(stores)
    edited = read.edited(BARE, stores.clock.now())
    await stores.personas.change_persona(edited)
    late, version = read.submitted(stores.clock.now())
    with pytest.raises(Conflict):
        await stores.personas.change_persona(late, version)
    assert await stores.personas.get_persona(stores.tenant, 47) == edited
    assert await stores.personas.get_persona_version(stores.tenant, 47, 1) is None
    assert await stores.personas.find_persona(stores.tenant, "guide") == (47, 0)


async def test_a_persona_that_does_not_exist_is_not_changed_into_being(stores: Stores) -> None:
    with pytest.raises(Conflict):
        await stores.personas.change_persona(a_persona(stores, revision=2))
    assert await stores.personas.get_persona(stores.tenant, 47) is None


async def test_of_two_changes_at_once_one_is_made(threadsafe_stores: Stores) -> None:
    stores = threadsafe_stores
    read = await created(stores)
    contents = [PersonaContent(name=f"{number}", system_prompt="") for number in range(4)]
    outcomes = await asyncio.gather(
        *(
            stores.personas.change_persona(read.edited(content, stores.clock.now()))
            for content in contents
        ),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome] == [Conflict] * 3


async def test_tenants_do_not_see_each_others_personas(stores: Stores) -> None:
    persona, version = (await created(stores)).submitted(stores.clock.now())
    await stores.personas.change_persona(persona, version)
    other = f"not-{stores.tenant}"
    assert await stores.personas.get_persona(other, 47) is None
    assert await stores.personas.find_persona(other, "guide") is None
    assert await stores.personas.get_persona_version(other, 47, 1) is None
    assert await stores.personas.list_personas(other) == ()
