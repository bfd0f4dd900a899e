"""Every function's rights in the template are exactly what it needs."""

import asyncio
import json
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.client import BaseClient

from local.intrinsics import Evaluator
from local.routes import functions
from local.template import resources
from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.domain.conversations import Conversation, Origin
from parley.domain.holds import Hold, turns
from parley.domain.ids import ConversationId
from parley.domain.once import Answer, Once
from parley.domain.turns import Checkpoint, TextDelta
from tests.routes.conftest import NOW, TEMPLATE, Invoke
from tests.support.completions import kept

Right = tuple[str, str]
"""An action and the logical id of what it may be done to."""

SHARED = "AuthenticatePolicy"
ONCE = "AnswerOncePolicy"
ALIAS = "1c7e55fb-1ba2-4e10-81b5-30addcea2276"
"""The conversation that event files of the apps dialect name."""

HELD = Origin(dialect="tenant", key_id="key", user="user-81", holds=(Hold(turns(), 1, 10),))
"""Of a turn that holds something of its tenant's limits."""

LONG = 400_000
"""Characters that one item of a table can't hold."""

A_WHILE = '{"wait": 1.1}'
"""In a script: a second and more, in which a running turn is looked after."""

SOCKETS = {"Connect", "Disconnect", "Receive", "Reply"}
OPERATORS = {"Admin", "Erase"}

IN_TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


def rights(statements: Iterable[Mapping[str, Any]]) -> set[Right]:
    found = set()
    for statement in statements:
        assert statement["Effect"] == "Allow"
        actions, resource = statement["Action"], statement["Resource"]
        for each in resource if isinstance(resource, list) else [resource]:
            found |= {
                (action, _resource(each))
                for action in ([actions] if isinstance(actions, str) else actions)
            }
    return found


def _resource(resource: Mapping[str, Any]) -> str:
    """The logical id of a resource; behind that of a WebSocket API, what may be asked of it."""
    match resource:
        case {"Ref": str(logical_id)} | {"Fn::GetAtt": [str(logical_id), *_]}:
            return logical_id
        case {"Fn::Sub": str(arn)}:
            _, api, _, rest = re.split(r"\$\{(SocketApi)\}/\$\{(Stage)\}/", arn)
            return f"{api}/{rest}"
    raise AssertionError(resource)


def policy(logical_id: str) -> set[Right]:
    """The rights that a policy gives to all that name it."""
    statements = TEMPLATE["Resources"][logical_id]["Properties"]["PolicyDocument"]["Statement"]
    return rights(statements)


def declared() -> tuple[set[Right], dict[str, set[Right]]]:
    """The shared rights, and by logical id those that a function has of its own."""
    own: dict[str, set[Right]] = {}
    for logical_id, properties in resources(TEMPLATE, "AWS::Serverless::Function"):
        policies = properties.get("Policies", [])
        own[logical_id] = rights(
            statement for policy in policies for statement in policy.get("Statement", [])
        )
    return policy(SHARED), own


def repeatable() -> set[str]:
    """The functions that may do what it takes to answer a repeated request."""
    return {
        logical_id
        for logical_id, properties in resources(TEMPLATE, "AWS::Serverless::Function")
        if {"Ref": ONCE} in properties.get("Policies", [])
    }


def used(operation: str, arguments: Mapping[str, Any]) -> Iterator[Right]:
    """The rights that a call asks for."""
    match operation:
        case "TransactWriteItems":
            for item in arguments["TransactItems"]:
                for kind, write in item.items():
                    yield f"dynamodb:{IN_TRANSACTION[kind]}", write["TableName"]
        case "BatchGetItem" | "BatchWriteItem":
            for table in arguments["RequestItems"]:
                yield f"dynamodb:{operation}", table
        case "Invoke":
            yield "lambda:InvokeFunction", arguments["FunctionName"]
        case "PostToConnection" | "GetConnection" | "DeleteConnection":
            verb = operation.removesuffix("Connection").removesuffix("To").upper()
            yield "execute-api:ManageConnections", f"SocketApi/{verb}/@connections/*"
        case _ if "SecretId" in arguments:
            yield f"secretsmanager:{operation}", arguments["SecretId"]
        case _:
            yield f"dynamodb:{operation}", arguments["TableName"]


@pytest.fixture
def invoke_recorded(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[..., Any], Mapping[str, set[Right]]]:
    """Invoke like `invoke` with a new idempotency key; keep by function what it asked of AWS."""
    by_module = {
        function.module.removeprefix("functions."): function.name
        for function, _ in functions(TEMPLATE, Evaluator(TEMPLATE))
    }
    asked: dict[str, set[Right]] = defaultdict(set)
    running = [""]
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it

    def recorded(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        asked[running[0]].update(used(operation, arguments))
        return call(client, operation, arguments)

    def invoke_recorded(name: str, **changes: Any) -> Any:
        streaming = by_module.get(f"streaming.{name.partition('/')[0]}_app", "Streaming")
        running[0] = by_module.get(name.replace("/", "."), streaming)
        headers = {"Idempotency-Key": secrets.token_hex(8), **changes.pop("headers", {})}
        reply = invoke(name, headers=headers, **changes)
        running[0] = ""
        assert reply.status in {200, 201, 405}, reply.text
        return reply

    monkeypatch.setattr(BaseClient, "_make_api_call", recorded)
    return invoke_recorded, asked


def leave_dead(
    services: bootstrap.Services, loop: asyncio.AbstractEventLoop, chat: Conversation
) -> None:
    """A turn whose function died, with more of the reply kept than one item holds."""
    a_minute_ago = services.basics.clock.now() - timedelta(minutes=1)
    turn = services.store.append_turn(chat, text="?", model="any", at=a_minute_ago, origin=HELD)
    _, reply = loop.run_until_complete(turn)
    for number in (1, 2):
        grown = Checkpoint(
            number=number,
            shown=number - 1,
            deltas=(TextDelta("r" * (LONG // 2)),),
            shows=1,
            at=a_minute_ago,
        )
        loop.run_until_complete(services.store.checkpoint(chat.tenant, reply.id, grown))


def on_a_budget(services: bootstrap.Services, loop: asyncio.AbstractEventLoop) -> None:
    """Have the demo tenant's turns hold something of every limit."""
    tenant = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert tenant is not None
    limits = replace(tenant.limits, tokens_per_minute=10**9, concurrent_turns=3)
    limited = replace(tenant, budget=Decimal(1), limits=limits)
    loop.run_until_complete(services.directory.put_tenant(limited))


def use_sessions(
    invoke: Callable[..., Any],
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    chat: Conversation,
    script: str,
) -> None:
    created = invoke("sessions/create_chat").json["id"]
    invoke("sessions/list_chats", query={"user": "user-81", "after": created})
    invoke("sessions/get_chat")
    invoke("sessions/send_message", content=script, stream=True)
    invoke("sessions/send_message", content=f'script:[{{"text": "Hi!"}}, {A_WHILE}]')
    invoke("sessions/resume_turn")
    invoke("sessions/stop_turn")
    leave_dead(services, loop, chat)
    invoke("sessions/get_history")


def ask_the_consultant(
    invoke: Callable[..., Any],
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    chat: Conversation,
) -> None:
    """Briefly, so that the reply is long; about what was said; in a new chat."""
    script = f'script:[{{"text": "{"r" * 3000}", "repeat": {LONG // 3000 + 1}}}, {A_WHILE}]'
    invoke("consultant/send_message", message=script, chat_id=chat.id.number)
    invoke("consultant/send_message", message="And cheaper ones?", chat_id=chat.id.number)
    invoke("consultant/stream_message")
    leave_dead(services, loop, chat)
    invoke("consultant/get_history")


def talk_to_a_persona(invoke: Callable[..., Any], script: str) -> None:
    invoke("personas/get_token")
    begun = invoke("personas/create_session", message=script)
    session = json.loads(begun.text.partition("\n")[0].removeprefix("data: "))["session_id"]
    invoke("personas/continue_session", session_id=session, message=script)


def use_completions(
    invoke: Callable[..., Any],
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    script: str,
) -> None:
    watched = [{"role": "user", "content": f'script:[{{"text": "Hi!"}}, {A_WHILE}]'}]
    invoke("openai/create_completion", messages=watched)
    said = [{"role": "user", "content": script}]
    created = invoke("openai/create_completion", messages=said, store=True, stream=False).json
    invoke("openai/list_completions", query={"after": created["id"]})
    basics = services.basics
    completions = DynamoCompletions(basics.database, basics.tables)
    loop.run_until_complete(completions.keep(kept("r" * LONG)))
    invoke("openai/list_completions")
    invoke("openai/get_completion")
    invoke("openai/list_completion_messages")
    invoke("openai/update_completion")
    invoke("openai/delete_completion")


def test_a_function_may_do_what_it_does_and_nothing_else(  # noqa: PLR0915 - it uses everything
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke_recorded: tuple[Callable[..., Any], Mapping[str, set[Right]]],
) -> None:
    invoke, asked = invoke_recorded
    chat = Conversation(
        id=ConversationId(4711),
        tenant="demo",
        user="user-81",
        created_at=NOW,
        updated_at=NOW,
        system_prompt="p" * LONG,
    )
    loop.run_until_complete(services.store.create(chat))
    on_a_budget(services, loop)
    services.models.backend("scripted").context_window = 10 * LONG
    script = f'script:[{{"text": "{"r" * LONG}"}}]'  # a long message that makes a long reply
    invoke("openai/list_models")
    invoke("openai/get_model")
    use_completions(invoke, services, loop, script)
    use_sessions(invoke, services, loop, chat, script)
    ask_the_consultant(invoke, services, loop, chat)
    invoke("tenant/create_chat")
    invoke("tenant/list_user_chats")
    invoke("tenant/get_chat")
    leave_dead(services, loop, chat)
    invoke("tenant/list_messages")
    invoke("sessions/delete_chat")
    loop.run_until_complete(services.store.create(chat))
    loop.run_until_complete(services.store.append_turn(chat, text=script, model="any", at=NOW))
    invoke("tenant/delete_chat")
    moved = replace(chat, id=ConversationId(4712), user="abc-123", alias=ALIAS)
    loop.run_until_complete(services.store.create(moved))
    loop.run_until_complete(services.store.append_turn(moved, text=script, model="any", at=NOW))
    leave_dead(services, loop, moved)
    invoke("apps/list_messages")
    invoke("apps/list_messages", query={"user": "abc-123", "conversation_id": ALIAS})
    invoke("apps/list_conversations")
    invoke("apps/list_conversations", query={"user": "abc-123", "last_id": ALIAS})
    invoke("apps/create_message", fields={"query": script, "response_mode": "blocking"})
    invoke("apps/rate_message")
    invoke("apps/suggest_questions")
    invoke("apps/stop_message")
    invoke("apps/rename_conversation", auto_generate=True)
    invoke("apps/rename_newest_conversation", auto_generate=True)
    invoke("apps/delete_conversation")
    invoke("apps/get_parameters")
    invoke("apps/get_info")
    invoke("apps/get_meta")
    talk_to_a_persona(invoke, script)
    for name in ("get_docs", "get_file", "get_openapi"):
        invoke(f"docs/{name}")
    invoke("health/get_health")
    invoke("health/get_readiness")
    invoke("fallback/refuse_method")

    shared, own = declared()
    assert shared <= set().union(*asked.values())
    assert repeatable() == {name for name in own if asked[name] & policy(ONCE) - own[name]}
    for name, granted in own.items():
        if name in SOCKETS | OPERATORS or name == "RotateSigningKey":
            continue  # they have tests of their own, the latter in test_rotation.py
        common = shared | policy(ONCE) if name in repeatable() else shared
        assert asked[name] - common - granted == set(), f"{name} lacks these"
        assert granted - asked[name] == set(), f"{name} doesn't need these"
    assert not asked["RefuseMethod"]


def test_who_answers_a_repeated_request_may_do_what_that_takes_and_nothing_else(
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
    invoke_recorded: tuple[Callable[..., Any], Mapping[str, set[Right]]],
) -> None:
    _, asked = invoke_recorded
    requests, until = services.requests, services.basics.clock.now() + timedelta(minutes=1)
    answered, released = (
        Once(tenant="demo", name=name, fingerprint="asked") for name in ("answered", "released")
    )
    for each in (answered, released):
        assert loop.run_until_complete(requests.hold(each, until=until)) is None
    answer = Answer(200, "application/json", "a" * LONG)
    loop.run_until_complete(requests.answered(answered, answer))
    known = loop.run_until_complete(requests.hold(answered, until=until))
    assert known is not None
    assert known.answer == answer
    loop.run_until_complete(requests.release(released))

    shared, _ = declared()
    assert asked[""] - shared == policy(ONCE)
