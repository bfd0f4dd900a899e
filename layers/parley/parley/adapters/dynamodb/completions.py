"""Stored completions on DynamoDB."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from parley.adapters.aws import in_thread
from parley.adapters.dynamodb import items, keys, texts
from parley.adapters.dynamodb.client import (
    ConditionFailed,
    Database,
    Tables,
    delete,
    put,
    put_new,
    update,
)
from parley.adapters.dynamodb.items import Item
from parley.adapters.dynamodb.keys import Key
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Page, Scope
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import MessageId

LOOKED_AT_ONCE = 1000
"""Entries of a list that are looked at in one go for those that match."""


class DynamoCompletions:
    """The `CompletionStore` on DynamoDB, in the conversations' table.

    A completion is an item with its prompt and replies as the text, and two small entries: one in
    the tenant's list, one in its user's. An entry has what a list can be narrowed by, so that of
    completions which don't match nothing else is read.
    """

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.conversations

    @in_thread
    def keep(self, completion: StoredCompletion) -> None:
        """Write the text's parts, if it is long, then item and entries in one transaction."""
        key = keys.stored_completion(completion.tenant, completion.id)
        text, parts = texts.store(key, items.prompt_and_replies(completion))
        item, entry = items.from_stored_completion(completion), items.from_entry(completion)
        self._database.put_many(self._table, parts)
        try:
            self._database.transact(
                [
                    put_new(self._table, key, {**item, **text}),
                    *(put(self._table, each, entry) for each in _entries(completion)),
                ]
            )
        except ConditionFailed as refusal:
            raise Conflict("This completion id is taken.") from refusal

    @in_thread
    def get(self, scope: Scope, completion: MessageId) -> StoredCompletion:
        """Read the item, and its text's parts if it is long."""
        return self._get(scope, completion)

    @in_thread
    def list(
        self,
        scope: Scope,
        *,
        limit: int,
        after: MessageId | None,
        newest_first: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> Page[StoredCompletion]:
        """Read the item of `after`, entries until enough match, then their items in a batch."""
        last = self._entry_of(scope, after) if after is not None else None
        at_once = LOOKED_AT_ONCE if model is not None or metadata else limit + 1
        matching: list[MessageId] = []
        while len(matching) <= limit:
            entries = self._database.query(
                self._table,
                keys.list_of_completions(scope.tenant, scope.user),
                limit=at_once,
                newest_first=newest_first,
                after=last,
            )
            matching += [
                keys.listed_completion(entry["sk"])
                for entry in entries
                if model in {None, entry["model"]}
                and metadata.items() <= json.loads(entry["metadata"]).items()
            ]
            if len(entries) < at_once:
                break
            last = keys.of(entries[-1])
        wanted = [keys.stored_completion(scope.tenant, id_) for id_ in matching[:limit]]
        found = self._database.get_many(self._table, wanted)
        there = [found[key] for key in wanted if key in found]
        return Page(self._read(scope.tenant, there), has_more=len(matching) > limit)

    @in_thread
    def label(
        self, scope: Scope, completion: MessageId, metadata: Mapping[str, str]
    ) -> StoredCompletion:
        """Read the completion, then change item and entries in one transaction."""
        labelled = replace(self._get(scope, completion), metadata=dict(metadata))
        changed = (keys.stored_completion(scope.tenant, completion), *_entries(labelled))
        value = {"metadata": items.from_entry(labelled)["metadata"]}
        try:
            self._database.transact(
                [
                    update(
                        self._table,
                        key,
                        "SET #metadata = :metadata",
                        value,
                        condition="attribute_exists(#pk)",
                    )
                    for key in changed
                ]
            )
        except ConditionFailed as gone:
            raise _no_such_completion() from gone
        return labelled

    @in_thread
    def delete(self, scope: Scope, completion: MessageId) -> None:
        """Read the item, remove its text's parts, then item and entries in one transaction.

        Without its parts it isn't there for any reader; a call that is repeated goes on from there.
        """
        self._delete(scope, completion)

    @in_thread
    def forget_user(self, tenant: str, user: str, *, limit: int) -> int:
        """Read entries of the user's list: one query; then remove what they stand for as `delete`.

        An entry is there until the last of its completion is gone.
        """
        within = keys.list_of_completions(tenant, user)
        entries = self._database.query(self._table, within, limit=limit)
        for entry in entries:
            with suppress(NotFound):  # another call has just removed it
                self._delete(Scope(tenant, user), keys.listed_completion(entry["sk"]))
        return len(entries)

    def _delete(self, scope: Scope, completion: MessageId) -> None:
        item = self._item(scope, completion)
        known = items.to_stored_completion(scope.tenant, completion, item, None)
        key = keys.stored_completion(scope.tenant, completion)
        self._database.delete_many(self._table, texts.parts_of(item))
        self._database.transact([delete(self._table, each) for each in (key, *_entries(known))])

    def _get(self, scope: Scope, completion: MessageId) -> StoredCompletion:
        read = self._read(scope.tenant, [self._item(scope, completion)])
        if not read:
            raise _no_such_completion()
        return read[0]

    def _item(self, scope: Scope, completion: MessageId) -> Item:
        key = keys.stored_completion(scope.tenant, completion)
        item = self._database.get(self._table, key)
        if item is None or not scope.covers(item["user"]):
            raise _no_such_completion()
        return item

    def _entry_of(self, scope: Scope, completion: MessageId) -> Key:
        item = self._item(scope, completion)
        known = items.to_stored_completion(scope.tenant, completion, item, None)
        of_tenant, of_user = _entries(known)
        return of_tenant if scope.user is None else of_user

    def _read(self, tenant: str, found: Sequence[Item]) -> tuple[StoredCompletion, ...]:
        """The completions of these items, but for those whose parts are gone."""
        bodies = texts.read(self._database, self._table, found)
        return tuple(
            items.to_stored_completion(
                tenant, keys.stored_completion_id(item["pk"]), item, bodies[keys.of(item)]
            )
            for item in found
            if keys.of(item) in bodies
        )


def _entries(completion: StoredCompletion) -> tuple[Key, Key]:
    """The keys of its entries in the tenant's list and in its user's."""
    of_tenant, of_user = (
        keys.completion_entry(completion.tenant, user, completion.created_at, completion.id)
        for user in (None, completion.user)
    )
    return of_tenant, of_user


def _no_such_completion() -> NotFound:
    return NotFound("No such completion.")
