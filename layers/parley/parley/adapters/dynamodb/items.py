"""Domain values as items of a table, and back.

An item is a flat mapping of text, whole numbers and bytes; what is absent is None. Times are ISO
8601 in UTC with microseconds, enumerations their values, and mappings JSON text, which unlike
DynamoDB's own maps keeps its order and every JSON number. Keys aren't part of it: see `keys`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from datetime import datetime
from decimal import Decimal
from typing import Any

from parley.adapters.dynamodb.keys import timestamp
from parley.adapters.dynamodb.routes import from_routes, to_routes
from parley.domain.apps import App, InputField, InputKind
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import (
    Conversation,
    FinishReason,
    Message,
    Origin,
    Parameters,
    Rating,
    Role,
    Status,
    Usage,
)
from parley.domain.holds import Account, Hold, Kind, Quote, dollars, units
from parley.domain.ids import ConversationId, MessageId
from parley.domain.personas import Persona, PersonaContent, PersonaVersion
from parley.domain.tenants import ApiKey, KeyKind, KeyLimits, Limits, Tenant, TurnRules
from parley.domain.tools import ToolCall, ToolResult
from parley.domain.turns import Image, PromptMessage, UsageRecord
from parley.domain.usage import Labels, Sums

Item = dict[str, Any]
"""Attributes by name, in Python's values: `str`, `int`, `bytes` or, to be left out, None."""


# DynamoDB's own notation -----------------------------------------------------------------------


def encode(item: Mapping[str, str | int | bytes | None]) -> dict[str, dict[str, str | bytes]]:
    """An item as DynamoDB's requests carry it."""
    return {name: _encode(value) for name, value in item.items() if value is not None}


def _encode(value: str | int | bytes) -> dict[str, str | bytes]:
    match value:
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case _:
            return {"S": value}


def decode(raw: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item as DynamoDB's responses carry it, read back."""
    return {
        name: int(value["N"]) if "N" in value else value["S"] if "S" in value else value["B"]
        for name, value in raw.items()
    }


# Conversations ---------------------------------------------------------------------------------


def from_conversation(conversation: Conversation) -> Item:
    """A conversation's head, without what its key says and without what is its setup."""
    return {
        "user": conversation.user,
        "created_at": timestamp(conversation.created_at),
        "updated_at": timestamp(conversation.updated_at),
        "title": conversation.title,
        "model": conversation.model,
        "alias": conversation.alias,
        "message_count": conversation.message_count,
    }


def setup_of(conversation: Conversation) -> str | None:
    """What a conversation was begun with and keeps to its end, as JSON text; None if nothing."""
    setup = {
        "system_prompt": conversation.system_prompt,
        "parameters": {
            name: value
            for name, value in asdict(conversation.parameters).items()
            if value not in (None, ())
        }
        or None,
        "metadata": conversation.metadata or None,
        "inputs": conversation.inputs or None,
    }
    given = {name: value for name, value in setup.items() if value is not None}
    return _dump(given) if given else None


def to_conversation(
    tenant: str, id_: ConversationId, head: Item, setup_text: str | None
) -> Conversation:
    """The conversation with this head and setup."""
    setup = json.loads(setup_text or "{}")
    parameters = setup.get("parameters", {})
    return Conversation(
        id=id_,
        tenant=tenant,
        user=head["user"],
        created_at=_moment(head["created_at"]),
        updated_at=_moment(head["updated_at"]),
        title=head.get("title"),
        system_prompt=setup.get("system_prompt"),
        model=head.get("model"),
        parameters=Parameters(**(parameters | {"stop": tuple(parameters.get("stop", ()))})),
        metadata=setup.get("metadata", {}),
        inputs=setup.get("inputs", {}),
        alias=head.get("alias"),
        message_count=head["message_count"],
    )


def from_message(message: Message) -> Item:
    """A message without what its key says and without its text: see `texts`."""
    return {
        "role": message.role.value,
        "created_at": timestamp(message.created_at),
        "product_ids": _dump(message.product_ids) if message.product_ids else None,
        "rating": message.rating.value if message.rating else None,
        "origin": _dump(_from_origin(message.origin)) if message.origin else None,
        **from_outcome(message),
    }


def from_outcome(message: Message) -> Item:
    """What of a message is decided by the end of its turn, without its text."""
    return {
        "status": message.status.value,
        "model": message.model,
        "finish_reason": message.finish_reason.value if message.finish_reason else None,
        **_from_usage(message.usage),
        "error": message.error,
        "error_message": message.error_message,
        "error_param": message.error_param,
        "refused": 1 if message.refused else None,
        "last_checkpoint": message.last_checkpoint,
        "ended_at": timestamp(message.ended_at) if message.ended_at else None,
        "structured": 1 if _is_structured(message) else None,
    }


def body_of(message: Message) -> str:
    """What is stored as the text of a message's item: its text, or JSON where there is more."""
    if not _is_structured(message):
        return message.text
    return _dump(
        {
            "text": message.text,
            "reasoning": message.reasoning,
            "tool_calls": [asdict(call) for call in message.tool_calls],
            "tool_results": [asdict(result) for result in message.tool_results],
        }
    )


def to_message(id_: MessageId, item: Item, body: str) -> Message:
    """The message of this item and the text that is stored with it."""
    reason, rating = item.get("finish_reason"), item.get("rating")
    ended_at, origin = item.get("ended_at"), item.get("origin")
    parts: dict[str, Any] = json.loads(body) if "structured" in item else {"text": body}
    return Message(
        id=id_,
        role=Role(item["role"]),
        text=parts["text"],
        status=Status(item["status"]),
        created_at=_moment(item["created_at"]),
        model=item.get("model"),
        finish_reason=FinishReason(reason) if reason else None,
        usage=_to_usage(item),
        error=item.get("error"),
        error_message=item.get("error_message"),
        error_param=item.get("error_param"),
        refused="refused" in item,
        last_checkpoint=item.get("last_checkpoint"),
        ended_at=_moment(ended_at) if ended_at else None,
        origin=_to_origin(json.loads(origin)) if origin else None,
        product_ids=tuple(json.loads(item.get("product_ids", "[]"))),
        rating=Rating(rating) if rating else None,
        reasoning=parts.get("reasoning", ""),
        tool_calls=tuple(ToolCall(**call) for call in parts.get("tool_calls", ())),
        tool_results=tuple(ToolResult(**result) for result in parts.get("tool_results", ())),
    )


# Stored completions ----------------------------------------------------------------------------


def from_stored_completion(completion: StoredCompletion) -> Item:
    """A stored completion's item without its text."""
    return {
        "user": completion.user,
        "created_at": timestamp(completion.created_at),
        **from_entry(completion),
    }


def from_entry(completion: StoredCompletion) -> Item:
    """What a list of stored completions can be narrowed by."""
    return {"model": completion.model, "metadata": _dump(completion.metadata)}


def prompt_and_replies(completion: StoredCompletion) -> str:
    """The text of a stored completion's item, as JSON."""
    return _dump(
        {
            "messages": [asdict(message) for message in completion.messages],
            "replies": [
                {**from_message(reply), "id": reply.id.number, "body": body_of(reply)}
                for reply in completion.replies
            ],
        }
    )


def to_stored_completion(
    tenant: str, id_: MessageId, item: Item, text: str | None
) -> StoredCompletion:
    """The stored completion of this item; without its text, all but the prompt and the replies."""
    said = json.loads(text) if text is not None else {"messages": [], "replies": []}
    replies = [
        {name: value for name, value in each.items() if value is not None}
        for each in said["replies"]
    ]
    return StoredCompletion(
        id=id_,
        tenant=tenant,
        user=item["user"],
        created_at=_moment(item["created_at"]),
        model=item["model"],
        messages=tuple(_to_prompt(message) for message in said["messages"]),
        replies=tuple(
            to_message(MessageId.from_number(reply["id"]), reply, reply["body"])
            for reply in replies
        ),
        metadata=json.loads(item["metadata"]),
    )


# The ledger ------------------------------------------------------------------------------------


def from_record(record: UsageRecord) -> Item:
    """A ledger line without what its key says."""
    return {
        "user": record.user,
        "key_id": record.key_id,
        "dialect": record.dialect,
        "model": record.model,
        "status": record.status.value,
        **_from_usage(record.usage),
        "at": timestamp(record.at),
        "route": record.route,
        "estimated": 1 if record.estimated else None,
        "cost": units(record.cost) if record.cost is not None else None,
        "first_token_ms": record.first_token_ms,
        "duration_ms": record.duration_ms,
    }


def to_record(tenant: str, turn: MessageId, item: Item) -> UsageRecord:
    """The usage that this ledger line tells of."""
    return UsageRecord(
        tenant=tenant,
        user=item["user"],
        key_id=item["key_id"],
        dialect=item["dialect"],
        turn=turn,
        model=item["model"],
        status=Status(item["status"]),
        usage=_to_usage(item),
        at=_moment(item["at"]),
        route=item.get("route"),
        estimated="estimated" in item,
        cost=dollars(item["cost"]) if "cost" in item else None,
        first_token_ms=item.get("first_token_ms"),
        duration_ms=item.get("duration_ms"),
    )


def from_sums(sums: Mapping[Labels, Sums]) -> str:
    """A day's sums, as JSON text; of money, units."""
    return _dump(
        [
            [*labels, *(units(each) if isinstance(each, Decimal) else each for each in astuple(of))]
            for labels, of in sorted(sums.items())
        ]
    )


def to_sums(text: str) -> dict[Labels, Sums]:
    """A day's sums."""
    names = len(Labels._fields)
    return {
        Labels(*row[:names]): Sums(*[*row[names:-1], dollars(row[-1])]) for row in json.loads(text)
    }


def from_holds(holds: Sequence[Hold]) -> str:
    """What a turn holds, as JSON text."""
    return _dump([_from_hold(hold) for hold in holds])


def to_holds(text: str) -> tuple[Hold, ...]:
    """What a turn holds."""
    return tuple(_to_hold(hold) for hold in json.loads(text))


# The directory ---------------------------------------------------------------------------------


def from_tenant(tenant: Tenant) -> Item:
    """A tenant's item."""
    return {
        "id": tenant.id,
        "created_at": timestamp(tenant.created_at),
        "models": _dump({name: from_routes(routes) for name, routes in tenant.models.items()}),
        "limits": _dump(asdict(tenant.limits)),
        "budget": _money(tenant.budget),
        "turns": _dump(asdict(tenant.turns)),
        "origins": _dump(sorted(tenant.origins)),
        "suspended_at": timestamp(tenant.suspended_at) if tenant.suspended_at else None,
        "deleted_at": timestamp(tenant.deleted_at) if tenant.deleted_at else None,
        "revision": tenant.revision,
    }


def to_tenant(item: Item) -> Tenant:
    """The tenant of this item."""
    models = json.loads(item["models"])
    return Tenant(
        id=item["id"],
        created_at=_moment(item["created_at"]),
        models={name: to_routes(routes) for name, routes in models.items()},
        limits=Limits(**json.loads(item["limits"])),
        budget=_money_or_none(item.get("budget")),
        turns=TurnRules(**json.loads(item.get("turns", "{}"))),
        origins=frozenset(json.loads(item.get("origins", "[]"))),
        suspended_at=_moment_or_none(item.get("suspended_at")),
        deleted_at=_moment_or_none(item.get("deleted_at")),
        revision=item["revision"],
    )


def from_key(key: ApiKey) -> Item:
    """An API key's item."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "kind": key.kind.value,
        "created_at": timestamp(key.created_at),
        "revoked_at": timestamp(key.revoked_at) if key.revoked_at else None,
        "default_persona": key.default_persona,
        "expires_at": timestamp(key.expires_at) if key.expires_at else None,
        "scopes": _dump(sorted(key.scopes)) if key.scopes is not None else None,
        "limits": _from_key_limits(key.limits),
        "replaced_by": key.replaced_by,
        "revision": key.revision,
    }


def to_key(digest: str, item: Item) -> ApiKey:
    """The API key of this item."""
    scopes = item.get("scopes")
    return ApiKey(
        id=item["id"],
        tenant=item["tenant"],
        kind=KeyKind(item["kind"]),
        digest=digest,
        created_at=_moment(item["created_at"]),
        revoked_at=_moment_or_none(item.get("revoked_at")),
        default_persona=item.get("default_persona"),
        expires_at=_moment_or_none(item.get("expires_at")),
        scopes=frozenset(json.loads(scopes)) if scopes is not None else None,
        limits=_to_key_limits(item.get("limits", "{}")),
        replaced_by=item.get("replaced_by"),
        revision=item.get("revision", 1),
    )


def from_persona(persona: Persona) -> Item:
    """A persona's item, its work in progress included."""
    return {
        "id": persona.id,
        "tenant": persona.tenant,
        "alias": persona.alias,
        **_from_content(persona.next),
        "created_at": timestamp(persona.created_at),
        "updated_at": timestamp(persona.updated_at),
        "latest": persona.latest,
        "revision": persona.revision,
    }


def to_persona(item: Item) -> Persona:
    """The persona of this item."""
    return Persona(
        id=item["id"],
        tenant=item["tenant"],
        alias=item["alias"],
        next=_to_content(item),
        created_at=_moment(item["created_at"]),
        updated_at=_moment(item["updated_at"]),
        latest=item["latest"],
        revision=item["revision"],
    )


def from_persona_version(version: PersonaVersion) -> Item:
    """The item of a submitted version."""
    return {
        "number": version.number,
        **_from_content(version.content),
        "submitted_at": timestamp(version.submitted_at),
    }


def to_persona_version(item: Item) -> PersonaVersion:
    """The submitted version of this item."""
    return PersonaVersion(
        number=item["number"],
        content=_to_content(item),
        submitted_at=_moment(item["submitted_at"]),
    )


def from_app(app: App) -> Item:
    """A tenant's app; its parts go through JSON, as they are read together only."""
    return {"app": _dump(asdict(app))}


def to_app(item: Item) -> App:
    """The app of this item."""
    app = json.loads(item["app"])
    stop = tuple(app["parameters"]["stop"])
    return App(
        **app
        | {
            "tags": tuple(app["tags"]),
            "suggested_questions": tuple(app["suggested_questions"]),
            "parameters": Parameters(**app["parameters"] | {"stop": stop}),
            "form": tuple(
                InputField(
                    **field | {"kind": InputKind(field["kind"]), "options": tuple(field["options"])}
                )
                for field in app["form"]
            ),
        }
    )


# Parts of items --------------------------------------------------------------------------------


def _from_content(content: PersonaContent) -> Item:
    parameters = {
        name: value for name, value in asdict(content.parameters).items() if value not in (None, ())
    }
    return {
        "name": content.name,
        "system_prompt": content.system_prompt,
        "model": content.model,
        "parameters": _dump(parameters) if parameters else None,
    }


def _to_content(item: Item) -> PersonaContent:
    parameters = json.loads(item.get("parameters", "{}"))
    return PersonaContent(
        name=item["name"],
        system_prompt=item["system_prompt"],
        model=item.get("model"),
        parameters=Parameters(**(parameters | {"stop": tuple(parameters.get("stop", ()))})),
    )


def _to_prompt(message: Mapping[str, Any]) -> PromptMessage:
    return PromptMessage(
        role=Role(message["role"]),
        text=message["text"],
        parts=tuple(part if isinstance(part, str) else Image(**part) for part in message["parts"]),
        tool_calls=tuple(ToolCall(**call) for call in message["tool_calls"]),
        tool_call_id=message["tool_call_id"],
    )


def _is_structured(message: Message) -> bool:
    return bool(message.reasoning or message.tool_calls or message.tool_results)


def _from_origin(origin: Origin) -> dict[str, Any]:
    """An origin as JSON; of what a turn may do without, nothing is written."""
    stated: dict[str, Any] = {
        "dialect": origin.dialect,
        "key_id": origin.key_id,
        "user": origin.user,
        "telling": origin.telling,
    }
    if origin.holds:
        stated["holds"] = [_from_hold(hold) for hold in origin.holds]
    if origin.quote is not None:
        quote = origin.quote
        prices = [_money(quote.prompt), _money(quote.completion)]
        stated["quote"] = [quote.prompt_tokens, quote.route, *prices]
    return stated


def _to_origin(stated: dict[str, Any]) -> Origin:
    holds, quote = stated.pop("holds", []), stated.pop("quote", None)
    if quote is not None:
        tokens, route, prompt, completion = quote
        stated["quote"] = Quote(
            prompt_tokens=tokens,
            route=route,
            prompt=_money_or_none(prompt),
            completion=_money_or_none(completion),
        )
    return Origin(**stated, holds=tuple(map(_to_hold, holds)))


def _from_hold(hold: Hold) -> list[Any]:
    account = hold.account
    return [account.kind.value, account.key_id, account.period, hold.amount, hold.limit]


def _to_hold(stated: Sequence[Any]) -> Hold:
    kind, key_id, period, amount, limit = stated
    return Hold(Account(kind=Kind(kind), key_id=key_id, period=period), amount, limit)


def _from_key_limits(limits: KeyLimits) -> str | None:
    stated = asdict(limits) | {"budget": _money(limits.budget)}
    given = {name: value for name, value in stated.items() if value is not None}
    return _dump(given) if given else None


def _to_key_limits(text: str) -> KeyLimits:
    stated = json.loads(text)
    return KeyLimits(**stated | {"budget": _money_or_none(stated.get("budget"))})


def _money(dollars: Decimal | None) -> str | None:
    return None if dollars is None else str(dollars)


def _money_or_none(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _from_usage(usage: Usage | None) -> Item:
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens or None,
        "reasoning_tokens": usage.reasoning_tokens or None,
    }


def _to_usage(item: Item) -> Usage | None:
    if "prompt_tokens" not in item:
        return None
    return Usage(
        item["prompt_tokens"],
        item["completion_tokens"],
        item.get("cached_tokens", 0),
        item.get("reasoning_tokens", 0),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment_or_none(text: str | None) -> datetime | None:
    return _moment(text) if text else None


def _dump(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
