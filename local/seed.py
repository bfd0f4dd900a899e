"""The demo tenants, their keys, apps and personas; only the local stack ever makes them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from local.demo_app import CONFORMANCE_APP, DEMO_APP
from parley.domain.apps import App
from parley.domain.conversations import Parameters
from parley.domain.personas import PersonaContent, PersonaNotFound
from parley.domain.routes import ModelRoute
from parley.domain.tenants import CATCH_ALL, ApiKey, KeyKind, Limits, Tenant
from parley.ports import Directory
from parley.services.credentials import digest
from parley.services.personas import Personas

EMBEDDED_MODELS: Mapping[str, ModelRoute] = {
    "smollm2-135m": ModelRoute("embedded", "smollm2-135m"),
    "wesen-chat-v1": ModelRoute("embedded", "smollm2-135m"),
}

_SCRIPTED_MODELS: Mapping[str, ModelRoute] = {
    "scripted": ModelRoute("scripted", "scripted"),
    CATCH_ALL: ModelRoute("scripted", CATCH_ALL),
}

_WIDE = Limits(requests_per_minute=100_000, messages_per_second=1_000, connections=1_000)
_MANY_REQUESTS = Limits(requests_per_minute=100_000)

DEVELOPERS_ORIGINS = frozenset(
    f"http://{host}:{port}"
    for host in ("localhost", "127.0.0.1")
    for port in (3000, 4200, 5173, 8080)
)
"""Where the usual tools serve a page that is being made."""

_TENANTS: Mapping[str, tuple[Mapping[str, ModelRoute], Limits]] = {
    "demo": (EMBEDDED_MODELS, _WIDE),
    "limited": (EMBEDDED_MODELS, Limits()),
    "conformance": (_SCRIPTED_MODELS, _MANY_REQUESTS),
    "neighbour": (_SCRIPTED_MODELS, _WIDE),
}

DEMO_KEYS: Mapping[str, tuple[str, KeyKind]] = {
    "sk_test_demo": ("demo", KeyKind.TEST),
    "sk_prod_demo": ("demo", KeyKind.PRODUCTION),
    "sk_test_limited": ("limited", KeyKind.TEST),
    "sk_test_conformance": ("conformance", KeyKind.TEST),
    "sk_test_neighbour": ("neighbour", KeyKind.TEST),
}
"""Tenant and kind by the key's text."""

_SUITE_KEYS: Mapping[str, tuple[str, KeyKind]] = {"My API Key": ("conformance", KeyKind.TEST)}
"""The key that OpenAI's own test suite carries as a constant."""

_GUIDE = PersonaContent(
    name="Travel guide",
    system_prompt="You are a friendly guide to Ethiopia. Answer in two or three sentences.",
    parameters=Parameters(temperature=0.0, max_tokens=120),
)

_SCRIPTED_PERSONAS: Mapping[int, tuple[str, PersonaContent, bool]] = {
    1: ("my-alias", PersonaContent(name="Scripted", system_prompt="", model="scripted"), True),
    47: ("draft", PersonaContent(name="Draft", system_prompt="Draft.", model="any"), False),
}

_PERSONAS: Mapping[str, Mapping[int, tuple[str, PersonaContent, bool]]] = {
    "demo": {
        1: ("my-alias", _GUIDE, True),
        47: (
            "coffee-expert",
            PersonaContent(
                name="Coffee expert",
                system_prompt="You know all about coffee. Be brief.",
                parameters=Parameters(temperature=0.0, max_tokens=120),
            ),
            False,
        ),
    },
    "conformance": _SCRIPTED_PERSONAS,
    "neighbour": _SCRIPTED_PERSONAS,
}
"""Alias, content and whether it is in production, by tenant and id: the ones examples name."""

_DEFAULT_PERSONA = "my-alias"

_APPS: Mapping[str, App] = {
    "demo": DEMO_APP,
    "conformance": CONFORMANCE_APP,
    "neighbour": CONFORMANCE_APP,
}


async def seed(directory: Directory, pepper: str) -> None:
    """Put the demo tenants, keys and apps into the directory, in place of any that are there."""
    now = datetime.now(UTC)
    for name in _TENANTS:
        present = await directory.get_tenant(name)
        since = present.created_at if present else now  # no report looks at what was before
        await directory.put_tenant(replace(_tenant(name), created_at=since))
    for text, (tenant, kind) in {**DEMO_KEYS, **_SUITE_KEYS}.items():
        await directory.put_key(
            ApiKey(
                id=f"key_{text.removeprefix('sk_').replace(' ', '_')}",
                tenant=tenant,
                kind=kind,
                digest=digest(pepper, text),
                created_at=now,
                default_persona=_DEFAULT_PERSONA if tenant in _PERSONAS else None,
            )
        )
    for name, app in _APPS.items():
        await directory.put_app(name, app)


async def seed_personas(personas: Personas) -> None:
    """Give the demo tenants their personas where they lack one; what was edited stays."""
    for name, wanted in _PERSONAS.items():
        tenant = _tenant(name)
        for persona_id, (alias, content, in_production) in wanted.items():
            try:
                persona = await personas.get(tenant, persona_id)
            except PersonaNotFound:
                persona = await personas.create(
                    tenant, alias=alias, content=content, persona_id=persona_id
                )
            if in_production and persona.latest == 0:
                await personas.submit(tenant, persona_id)


def _tenant(name: str) -> Tenant:
    models, limits = _TENANTS[name]
    return Tenant(
        id=name,
        created_at=datetime.now(UTC),
        models=models,
        limits=limits,
        origins=DEVELOPERS_ORIGINS,
    )
