"""AWS for a run of the bench: services of its own, with the template's tables and demo tenants."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import boto3

from local import TEMPLATE
from local.environment import of_functions
from local.provision import create_secrets, create_tables
from local.seed import seed
from local.template import load
from parley.bootstrap import services
from parley.domain.conversations import Conversation, FinishReason, Status, Usage
from parley.domain.ids import ConversationId
from parley.domain.turns import UsageRecord
from parley.ports import ConversationStore
from parley.settings import Settings
from tests.support.aws import ministack

KEY = "sk_test_conformance"
"""Of the tenant whose models are all scripted."""

TENANT = "conformance"

QUESTION = "Which of the two is the better one for a family of five, and why? ".ljust(200, "q")
ANSWER = "The second: it has more room, and it costs less to keep. ".ljust(400, "a")
"""Texts of a stored conversation, in bytes as long as such texts often are."""

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@contextmanager
def aws() -> Iterator[None]:
    """Make the environment that of a function whose AWS services live as long as the block."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, ministack(Path(folder)) as url:
        for name in before:
            if name.startswith(("AWS_", "PARLEY_")):
                del os.environ[name]
        os.environ.update(of_functions(load(TEMPLATE), {}, url))
        boto3.setup_default_session()
        services.cache_clear()
        try:
            _provision()
            yield
        finally:
            services.cache_clear()
            boto3.DEFAULT_SESSION = None
            os.environ.clear()
            os.environ.update(before)


def _provision() -> None:
    template, secrets = load(TEMPLATE), boto3.client("secretsmanager")
    create_tables(template, boto3.client("dynamodb"))
    create_secrets(template, secrets)
    name = Settings.from_environment(os.environ).pepper_secret
    pepper = secrets.get_secret_value(SecretId=name)["SecretString"]
    asyncio.run(seed(services().directory, pepper))


async def conversation(
    store: ConversationStore, number: int, *, user: str = "bench", tenant: str = TENANT
) -> Conversation:
    """A new conversation without messages."""
    new = Conversation(
        id=ConversationId(number),
        tenant=tenant,
        user=user,
        created_at=STARTED,
        updated_at=STARTED,
        system_prompt="You are a friendly shop assistant.",
        model="any",
    )
    await store.create(new)
    return new


async def converse(store: ConversationStore, talk: Conversation, messages: int) -> Conversation:
    """Hold turns in a conversation, through the store, until it has so many messages."""
    while talk.message_count < messages:
        _, pending = await store.append_turn(talk, text=QUESTION, model="any", at=STARTED)
        usage = Usage(prompt_tokens=100, completion_tokens=100)
        reply = replace(
            pending,
            text=ANSWER,
            status=Status.COMPLETED,
            finish_reason=FinishReason.STOP,
            usage=usage,
        )
        await store.settle(
            reply,
            UsageRecord(
                tenant=talk.tenant,
                user=talk.user,
                key_id="key",
                dialect="sessions",
                turn=reply.id,
                model="any",
                status=reply.status,
                usage=usage,
                at=STARTED,
            ),
        )
        talk = replace(talk, message_count=reply.id.sequence)
    return talk
