"""One deployment for all tests, with what event files name."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from local.seed import seed, seed_personas
from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.domain.conversations import Conversation, Origin
from parley.domain.errors import Conflict
from parley.domain.ids import ConversationId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Limits, Tenant
from parley.domain.turns import Checkpoint, TextDelta
from tests.privileges.deployment import Deployment
from tests.routes.conftest import NOW
from tests.routes.test_rights import ALIAS
from tests.support.aws import ENVIRONMENT, ministack
from tests.support.completions import kept

STREAMED = Origin(
    dialect="sessions",
    key_id="key_test_demo",
    user="user-81",
    telling={"include_usage": True, "choices": 1},
)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The template as its owner has deployed it, with the demo tenant and what event files name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AUTH", "true")
        with ministack(tmp_path_factory.mktemp("ministack")) as url:
            made = Deployment(url)
            made.create()
            patch.setenv("AWS_ENDPOINT_URL", url)
            for name, value in made.variables("Streaming").items():
                if name.startswith("PARLEY_"):
                    patch.setenv(name, value)
            bootstrap.services.cache_clear()
            asyncio.run(_fill(bootstrap.services(), made.pepper))
            yield made
    bootstrap.services.cache_clear()


async def _fill(services: bootstrap.Services, pepper: str) -> None:
    await seed(services.directory, pepper)
    scripted = ModelRoute("scripted", "scripted")
    models = {"wesen-chat-v1": scripted, "smollm2-135m": scripted}
    many = Limits(requests_per_minute=100_000)  # so that it is rights alone that requests lack
    demo = Tenant(id="demo", created_at=NOW, models=models, limits=many)
    await services.directory.put_tenant(demo)
    await seed_personas(services.personas)


def restore() -> None:
    """Have everything there that event files name, whatever was removed of it."""
    asyncio.run(_restore(bootstrap.services()))


async def _restore(services: bootstrap.Services) -> None:
    chat = Conversation(
        id=ConversationId(4711), tenant="demo", user="user-81", created_at=NOW, updated_at=NOW
    )
    moved = replace(chat, id=ConversationId(4712), user="abc-123", alias=ALIAS)
    for each in (chat, moved):
        with suppress(Conflict):
            await services.store.create(each)
            await _leave_dead(services, each)
    basics = services.basics
    with suppress(Conflict):
        await DynamoCompletions(basics.database, basics.tables).keep(kept("Hi!"))


async def _leave_dead(services: bootstrap.Services, chat: Conversation) -> None:
    """Begin a turn, as if its function had died a minute ago in the middle of the reply."""
    begun = services.basics.clock.now() - timedelta(minutes=1)
    _, reply = await services.store.append_turn(
        chat, text="Hello", model="any", at=begun, origin=STREAMED
    )
    grown = Checkpoint(number=1, shown=0, deltas=(TextDelta("Hi"),), shows=1, at=begun)
    await services.store.checkpoint(chat.tenant, reply.id, grown)
