"""The demo tenants and their keys; only the local stack ever makes them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from parley.domain.tenants import CATCH_ALL, ApiKey, KeyKind, Limits, ModelRoute, Tenant
from parley.ports import Directory
from parley.services.credentials import digest

EMBEDDED_MODELS: Mapping[str, ModelRoute] = {
    "smollm2-135m": ModelRoute("embedded", "smollm2-135m"),
    "wesen-chat-v1": ModelRoute("embedded", "smollm2-135m"),
}

_WIDE = Limits(requests_per_minute=100_000)

_TENANTS: Mapping[str, tuple[Mapping[str, ModelRoute], Limits]] = {
    "demo": (EMBEDDED_MODELS, _WIDE),
    "limited": (EMBEDDED_MODELS, Limits()),
    "conformance": ({CATCH_ALL: ModelRoute("scripted", CATCH_ALL)}, _WIDE),
}

DEMO_KEYS: Mapping[str, tuple[str, KeyKind]] = {
    "sk_test_demo": ("demo", KeyKind.TEST),
    "sk_prod_demo": ("demo", KeyKind.PRODUCTION),
    "sk_test_limited": ("limited", KeyKind.TEST),
    "sk_test_conformance": ("conformance", KeyKind.TEST),
}
"""Tenant and kind by the key's text."""


async def seed(directory: Directory, pepper: str) -> None:
    """Put the demo tenants and keys into the directory, in place of any that are there."""
    now = datetime.now(UTC)
    for name, (models, limits) in _TENANTS.items():
        await directory.put_tenant(Tenant(id=name, created_at=now, models=models, limits=limits))
    for text, (tenant, kind) in DEMO_KEYS.items():
        await directory.put_key(
            ApiKey(
                id=f"key_{text.removeprefix('sk_')}",
                tenant=tenant,
                kind=kind,
                digest=digest(pepper, text),
                created_at=now,
            )
        )
