"""Puts real adapters behind the ports, once in a process."""

import functools
from dataclasses import dataclass

import boto3

from parley.adapters.aws import CONFIG
from parley.adapters.dynamodb.client import Database, Tables, connect
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.adapters.dynamodb.conversations import DynamoConversations
from parley.adapters.dynamodb.counter import DynamoCounter
from parley.adapters.dynamodb.directory import DynamoDirectory
from parley.adapters.dynamodb.personas import DynamoPersonas
from parley.adapters.dynamodb.requests import DynamoRequests
from parley.adapters.models.registry import BackEnds
from parley.adapters.rotation import SigningKeyRotation
from parley.adapters.secrets import SecretsManager
from parley.adapters.system import RandomIds, SystemClock
from parley.ports import ConversationStore, Directory, Requests
from parley.services.apps import Apps
from parley.services.completions import Completions
from parley.services.conversations import Conversations
from parley.services.credentials import Credentials
from parley.services.limits import Limits, admitted
from parley.services.personas import Personas
from parley.services.tokens import Tokens
from parley.services.turns import Turns
from parley.settings import Settings
from parley.telemetry.logs import set_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Basics:
    """What adapters are made of that only some functions use."""

    settings: Settings
    clock: SystemClock
    ids: RandomIds
    database: Database
    tables: Tables
    counter: DynamoCounter
    secrets: SecretsManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases, ready to run, and what an operator's tools need besides."""

    credentials: Credentials
    tokens: Tokens
    limits: Limits
    conversations: Conversations
    turns: Turns
    completions: Completions
    apps: Apps
    personas: Personas
    models: BackEnds
    directory: Directory
    store: ConversationStore
    requests: Requests
    basics: Basics


@functools.cache
def services() -> Services:
    """The services over the adapters this process's environment names.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    observe()
    return build(Settings.from_environment())


@functools.cache
def allowed_origins() -> frozenset[str]:
    """Origins of web pages that may call this deployment; none where nothing is said.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    return Settings.from_environment().allowed_origins


@functools.cache
def observe() -> None:
    """Have this process write its lines; at once where a function may never need the services.

    Raises:
        RuntimeError: a setting is missing; the message names it.
    """
    settings = Settings.from_environment()
    set_up(level=settings.log_level, deployment=settings.stack)


def build(settings: Settings) -> Services:
    """Make the services; nothing is called yet, so nothing but a missing library can fail."""
    clock, ids = SystemClock(), RandomIds()
    database = Database(connect(), clock)
    tables = Tables(
        directory=settings.directory_table,
        conversations=settings.conversations_table,
        transient=settings.transient_table,
        ledger=settings.ledger_table,
    )
    secrets = SecretsManager(boto3.client("secretsmanager", config=CONFIG), clock)
    directory = DynamoDirectory(database, tables)
    counter = DynamoCounter(database, tables, clock)
    store = DynamoConversations(database, tables, clock)
    models = BackEnds(secrets, stack=settings.stack, embedded_gguf=settings.embedded_gguf)
    tokens = Tokens(
        secrets, clock, ids, signing_secret=settings.signing_secret, stack=settings.stack
    )
    conversations = Conversations(store, clock, ids, admitted=admitted)
    turns = Turns(store, models, clock, ids, admitted=admitted)
    return Services(
        credentials=Credentials(
            directory, secrets, tokens, clock, ids, pepper_secret=settings.pepper_secret
        ),
        tokens=tokens,
        limits=Limits(counter, clock),
        conversations=conversations,
        turns=turns,
        completions=Completions(DynamoCompletions(database, tables)),
        apps=Apps(directory, store, conversations, turns),
        personas=Personas(DynamoPersonas(database, tables), conversations, clock),
        models=models,
        directory=directory,
        store=store,
        requests=DynamoRequests(database, tables, clock),
        basics=Basics(
            settings=settings,
            clock=clock,
            ids=ids,
            database=database,
            tables=tables,
            counter=counter,
            secrets=secrets,
        ),
    )


def signing_key_rotation() -> SigningKeyRotation:
    """What Secrets Manager has done when the signing keys are due; it needs nothing of the rest."""
    client = boto3.client("secretsmanager", config=CONFIG)
    return SigningKeyRotation(client, SystemClock(), RandomIds())
