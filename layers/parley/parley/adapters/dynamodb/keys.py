"""The keys of every item, all in one place; docs/table.md lists who uses them.

A partition key begins with the tenant, so no operation reaches another tenant's data. Exceptions
are the lookups of an API key by its digest and of a connection by its id, which is how the tenant
is found, and the operator's list of tenants.

Within a conversation's partition, sort keys are ordered so that one backward query reads what a
turn needs and nothing else:

    body#…              long texts in parts
    journal#…           what running turns have kept so far
    message#0000001     the messages
    message#0000002
    ~head               title, counter and so on: rewritten by every turn, so kept small
    ~setup              system prompt, metadata and so on, where there are any: never rewritten
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from parley.domain.ids import ConversationId, MessageId

LEDGER_SHARDS = 10
"""Partitions over which a tenant's day of usage is spread: one takes 1,000 writes a second."""

_LONGEST_NAME = 512
_TENANTS = "TENANTS"
_AFTER_ALL = "~~"
_AFTER_DIGITS = ":"


class Key(NamedTuple):
    """The primary key of one item."""

    pk: str
    sk: str


class Range(NamedTuple):
    """Neighbouring items of one partition, both ends included."""

    pk: str
    first: str
    last: str


def of(item: Mapping[str, str]) -> Key:
    """The key of an item that was read."""
    return Key(item["pk"], item["sk"])


# The conversations table -----------------------------------------------------------------------


def head(tenant: str, conversation: ConversationId) -> Key:
    """A conversation's head."""
    return Key(_conversation(tenant, conversation), "~head")


def setup(tenant: str, conversation: ConversationId) -> Key:
    """What a conversation was begun with: its system prompt and so on."""
    return Key(_conversation(tenant, conversation), "~setup")


def head_and_setup(tenant: str, conversation: ConversationId) -> Range:
    """What there is of a conversation but messages."""
    return Range(_conversation(tenant, conversation), "~head", _AFTER_ALL)


def message(tenant: str, message: MessageId) -> Key:
    """One message."""
    return Key(_conversation(tenant, message.conversation), _message(message.sequence))


def messages(tenant: str, conversation: ConversationId, first: int, last: int) -> Range:
    """The messages numbered `first` to `last`."""
    return Range(_conversation(tenant, conversation), _message(first), _message(last))


def messages_and_head(tenant: str, conversation: ConversationId) -> Range:
    """All messages, then the head, then the setup; to be read backwards."""
    return Range(_conversation(tenant, conversation), _message(0), _AFTER_ALL)


def everything(tenant: str, conversation: ConversationId) -> Range:
    """All items of a conversation."""
    return Range(_conversation(tenant, conversation), " ", _AFTER_ALL)


def sequence(sort_key: str) -> int | None:
    """The sequence number in a message's sort key; None for any other item's."""
    kind, _, number = sort_key.partition("#")
    return int(number) if kind == "message" else None


def alias(tenant: str, alias: str) -> Key:
    """The pointer from another system's id to a conversation."""
    return Key(f"{_tenant(tenant)}#A#{_name(alias)}", "alias")


def seen(tenant: str, user: str) -> Key:
    """The note that a user was seen."""
    return Key(_user(tenant, user), "seen")


def unfinished(tenant: str, user: str, conversation: ConversationId) -> Key:
    """The note that a conversation's deletion has begun; it goes with the last of its items."""
    return Key(_user(tenant, user), f"deleting#{conversation.number:010}")


def all_unfinished(tenant: str, user: str) -> Range:
    """The notes of all of a user's conversations whose deletion has begun."""
    return Range(_user(tenant, user), "deleting#", f"deleting#{_AFTER_ALL}")


def listed(tenant: str, user: str, created_at: datetime, conversation: ConversationId) -> Key:
    """The entry of a conversation in its user's list."""
    return Key(
        _user(tenant, user), f"conversation#{timestamp(created_at)}#{conversation.number:010}"
    )


def list_of(tenant: str, user: str) -> Range:
    """A user's list of conversations, in order of creation."""
    return Range(_user(tenant, user), "conversation#", f"conversation#{_AFTER_ALL}")


def listed_conversation(sort_key: str) -> ConversationId:
    """The conversation that an entry of a user's list, or a note beside it, stands for."""
    return ConversationId(int(sort_key.rpartition("#")[2]))


def stored_completion(tenant: str, completion: MessageId) -> Key:
    """A completion that is kept."""
    return Key(f"{_completions(tenant)}#{completion.number}", "completion")


def stored_completion_id(partition: str) -> MessageId:
    """The completion that is kept in a partition."""
    return MessageId.from_number(int(partition.rpartition("#")[2]))


def completion_entry(
    tenant: str, user: str | None, created_at: datetime, completion: MessageId
) -> Key:
    """The entry of a completion in its user's list, or without one in its tenant's."""
    return Key(
        list_of_completions(tenant, user).pk,
        f"completion#{timestamp(created_at)}#{completion.number:016}",
    )


def list_of_completions(tenant: str, user: str | None) -> Range:
    """A user's, or without one the tenant's, list of completions, in order of creation."""
    owner = "" if user is None else f"#U#{_name(user)}"
    return Range(f"{_completions(tenant)}{owner}", "completion#", f"completion#{_AFTER_ALL}")


def listed_completion(sort_key: str) -> MessageId:
    """The completion that an entry of a list stands for."""
    return MessageId.from_number(int(sort_key.rpartition("#")[2]))


# The transient table ---------------------------------------------------------------------------


def completion(tenant: str, completion: MessageId) -> Key:
    """The reply of a stateless completion."""
    return Key(f"{_tenant(tenant)}#R#{completion.number}", "reply")


def once(tenant: str, name: str) -> Key:
    """A request that carries an idempotency key."""
    return Key(f"{_tenant(tenant)}#I#{_name(name)}", "request")


def window(name: str, seconds: int, start: int) -> Key:
    """The counter of one window of time; `name` begins with the tenant's id."""
    return Key(f"{_tenant(name)}#W#{seconds}", f"{start:011}")


def entry(tenant: str, conversation: ConversationId, position: int) -> Key:
    """An entry of a chat's log; only readers sort behind the entries."""
    return Key(_log(tenant, conversation), f"entry#{position:016}")


def entries(tenant: str, conversation: ConversationId, after: int) -> Range:
    """The entries of a chat's log behind a position."""
    key = entry(tenant, conversation, after + 1)
    return Range(key.pk, key.sk, f"entry#{_AFTER_ALL}")


def reader(tenant: str, conversation: ConversationId, connection: str) -> Key:
    """A connection that reads a chat's log."""
    return Key(_log(tenant, conversation), f"~reader#{connection}")


def readers(tenant: str, conversation: ConversationId) -> Range:
    """All readers of a chat's log."""
    return Range(_log(tenant, conversation), "~reader#", f"~reader#{_AFTER_ALL}")


def entries_and_readers(tenant: str, conversation: ConversationId, after: int) -> Range:
    """The entries behind a position, then all readers."""
    key = entry(tenant, conversation, after + 1)
    return Range(key.pk, key.sk, f"~reader#{_AFTER_ALL}")


def position(sort_key: str) -> int | None:
    """The position in the sort key of a log's entry; None for any other item's."""
    kind, _, number = sort_key.partition("#")
    return int(number) if kind == "entry" else None


def log(tenant: str, conversation: ConversationId) -> Range:
    """All items of a chat's log."""
    return Range(_log(tenant, conversation), " ", _AFTER_ALL)


def log_beginning(tenant: str, conversation: ConversationId) -> Key:
    """Where a chat's log begins, after a day in which nothing happened."""
    return Key(_log(tenant, conversation), "beginning")


def courier(tenant: str, conversation: ConversationId) -> Key:
    """Who tells the readers of a chat's log."""
    return Key(_log(tenant, conversation), "courier")


def claim(tenant: str, turn: MessageId, *, ends: bool) -> Key:
    """That somebody answers an accepted message, or tells that nobody does any more."""
    kind = "claim-of-end" if ends else "claim"
    return Key(_log(tenant, turn.conversation), f"{kind}#{turn.sequence:07}")


def slot(tenant: str, number: int) -> Key:
    """One of a tenant's connection slots."""
    return Key(f"{_tenant(tenant)}#S", f"{number:07}")


def slots(tenant: str) -> Range:
    """All of a tenant's connection slots."""
    return Range(f"{_tenant(tenant)}#S", "0", _AFTER_ALL)


def connection(connection: str) -> Key:
    """A connection by its id, which is all that an event of it carries."""
    return Key(f"CONNECTION#{connection}", "connection")


# The ledger ------------------------------------------------------------------------------------


def ledger_line(tenant: str, day: datetime, turn: MessageId) -> Key:
    """The ledger line of a turn; there can be only one, as nothing in its sort key varies."""
    # Replies have even numbers; halving them first brings every shard into use.
    shard = (turn.conversation.number + turn.sequence // 2) % LEDGER_SHARDS
    return Key(_ledger(tenant, day.astimezone(UTC).date(), shard), f"{turn.number:016}")


def ledger_lines(tenant: str, day: date) -> tuple[Range, ...]:
    """All ledger lines of a tenant's day in UTC, a range for each shard."""
    return tuple(
        Range(_ledger(tenant, day, shard), "0", _AFTER_DIGITS) for shard in range(LEDGER_SHARDS)
    )


def account(tenant: str, name: str) -> Key:
    """What is taken of one limit of a tenant; that of a minute's tokens is in the transient table.

    Each has a partition of its own, as every turn writes to it twice.
    """
    return Key(f"{_tenant(tenant)}#B#{_name(name)}", "account")


def holder(tenant: str, since: datetime, turn: MessageId) -> Key:
    """The note that a turn holds something until it is settled."""
    return Key(f"{_tenant(tenant)}#H", f"{timestamp(since)}#{turn.number:016}")


def holders(tenant: str, before: datetime) -> Range:
    """The notes of turns that were begun before a moment, the oldest first."""
    return Range(f"{_tenant(tenant)}#H", "0", timestamp(before))


def held(sort_key: str) -> tuple[MessageId, datetime]:
    """The turn that such a note is of, and since when it holds something."""
    since, _, turn = sort_key.partition("#")
    return MessageId.from_number(int(turn)), datetime.fromisoformat(since)


def rollup(tenant: str, day: date) -> Key:
    """The sums of a tenant's day in UTC."""
    return Key(f"{_tenant(tenant)}#R", day.isoformat())


def rollups(tenant: str, first: date, last: date) -> Range:
    """The sums of a tenant's days in UTC, both ends included."""
    return Range(f"{_tenant(tenant)}#R", first.isoformat(), last.isoformat())


def rollup_parts(tenant: str, day: date) -> Range:
    """The parts of a day's sums where they are long."""
    key = rollup(tenant, day)
    return Range(key.pk, f"body#{key.sk}#", f"body#{key.sk}#{_AFTER_ALL}")


def ledger_turn(sort_key: str) -> MessageId:
    """The turn that a ledger line is of."""
    return MessageId.from_number(int(sort_key))


# The directory ---------------------------------------------------------------------------------


def api_key(digest: str) -> Key:
    """An API key by the digest of its text."""
    return Key(f"KEY#{digest}", "key")


def tenant(tenant: str) -> Key:
    """A tenant's own item."""
    return Key(_tenant(tenant), "tenant")


def listed_tenant(tenant: str) -> Key:
    """The entry of a tenant in the list of all."""
    return Key(_TENANTS, f"tenant#{_name(tenant)}")


def list_of_tenants() -> Range:
    """The list of all tenants, by id."""
    return Range(_TENANTS, "tenant#", f"tenant#{_AFTER_ALL}")


def app(tenant: str) -> Key:
    """A tenant's app."""
    return Key(_tenant(tenant), "app")


def api_key_of(tenant: str, key_id: str) -> Key:
    """An API key by its id within its tenant."""
    return Key(_tenant(tenant), f"key#{_name(key_id)}")


def api_keys_of(tenant: str) -> Range:
    """All API keys of a tenant, by id."""
    return Range(_tenant(tenant), "key#", f"key#{_AFTER_ALL}")


def persona(tenant: str, persona_id: int) -> Key:
    """A persona with its work in progress."""
    return Key(_tenant(tenant), f"persona#{_persona(persona_id)}")


def personas(tenant: str) -> Range:
    """All personas of a tenant, by id."""
    return Range(_tenant(tenant), "persona#", f"persona#{_AFTER_ALL}")


def persona_version(tenant: str, persona_id: int, number: int) -> Key:
    """A submitted version of a persona."""
    return Key(_tenant(tenant), f"persona-version#{_persona(persona_id)}#{number:07}")


def persona_alias(tenant: str, alias: str) -> Key:
    """What leads from an alias to its persona."""
    return Key(_tenant(tenant), f"alias#{_name(alias)}")


def catalogue(tenant: str) -> Key:
    """Which version of a tenant's catalogue is the present one."""
    return Key(_tenant(tenant), "catalogue")


def catalogue_part(tenant: str, version: str, number: int) -> Key:
    """One part of one version of a tenant's catalogue."""
    return Key(f"{_tenant(tenant)}#P#{version}", f"part#{number:04}")


def catalogue_parts(tenant: str, version: str) -> Range:
    """All parts of one version of a tenant's catalogue."""
    return Range(f"{_tenant(tenant)}#P#{version}", "part#", f"part#{_AFTER_ALL}")


# Beside a reply, in either table ---------------------------------------------------------------


def checkpoint(reply: Key, end: int, number: int) -> Key:
    """A checkpoint of a reply: behind so many shown deltas, and the so-manieth of all."""
    return Key(reply.pk, f"{_journal(reply)}#{end:07}#{number:05}")


def checkpoints(reply: Key, after: int) -> Range:
    """The checkpoints that end behind the first `after` shown deltas; with 0, all of them."""
    first = f"#{after:07}#{_AFTER_ALL}" if after else "#"
    return Range(reply.pk, f"{_journal(reply)}{first}", f"{_journal(reply)}#{_AFTER_ALL}")


def place_of_checkpoint(sort_key: str) -> tuple[int, int]:
    """Behind how many shown deltas a checkpoint ends, and which one it is."""
    *_, end, number = sort_key.split("#")
    return int(end), int(number)


# Parts of keys ---------------------------------------------------------------------------------


def body_part(owner: Key, digest: str, part: int) -> Key:
    """One part of the text of an item that can't hold it.

    The digest of the text is in the key: whoever writes parts for a change that then doesn't come
    about hasn't touched the parts of the one that did.
    """
    return Key(owner.pk, f"body#{owner.sk}#{digest}#{part:04}")


def timestamp(moment: datetime) -> str:
    """A moment as text that sorts by time: ISO 8601 in UTC with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def belonging_to(tenant: str) -> tuple[str, str]:
    """What partition keys begin with that belong to this tenant and to no other.

    The second is that of rate windows, whose names are the tenant's id, a `#` and more; no tenant's
    id has a `#` in it. The tenant's own partition is called exactly as both begin, up to there.
    """
    return f"{_tenant(tenant)}#", f"{_tenant(tenant)}%23"


def whole(partition: str) -> Range:
    """All items of a partition."""
    return Range(partition, " ", _AFTER_ALL)


def _ledger(tenant: str, day: date, shard: int) -> str:
    return f"{_tenant(tenant)}#{day.isoformat()}#{shard}"


def _conversation(tenant: str, conversation: ConversationId) -> str:
    return f"{_tenant(tenant)}#C#{conversation.number}"


def _completions(tenant: str) -> str:
    return f"{_tenant(tenant)}#S"


def _log(tenant: str, conversation: ConversationId) -> str:
    return f"{_tenant(tenant)}#L#{conversation.number}"


def _journal(reply: Key) -> str:
    return f"journal#{reply.sk}"


def _message(sequence: int) -> str:
    return f"message#{sequence:07}"


def _user(tenant: str, user: str) -> str:
    return f"{_tenant(tenant)}#U#{_name(user)}"


def _persona(persona_id: int) -> str:
    return f"{persona_id:016}"


def _tenant(tenant: str) -> str:
    return f"T#{_name(tenant)}"


def _name(text: str) -> str:
    """Text from outside as part of a key: of bounded length, and free of the separator."""
    if len(text.encode()) > _LONGEST_NAME:
        return f"%SHA256%{hashlib.sha256(text.encode()).hexdigest()}"
    return text.replace("%", "%25").replace("#", "%23")
