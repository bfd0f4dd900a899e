"""The fake of the completion store: everything in this process's memory."""

from collections.abc import Mapping
from dataclasses import replace

from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Page, Scope
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import MessageId


class MemoryCompletions:
    """The `CompletionStore` in memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, MessageId], StoredCompletion] = {}

    async def keep(self, completion: StoredCompletion) -> None:
        """Keep a completion."""
        copy = replace(completion, metadata=dict(completion.metadata))
        if self._kept.setdefault((completion.tenant, completion.id), copy) is not copy:
            raise Conflict("This completion id is taken.")

    async def get(self, scope: Scope, completion: MessageId) -> StoredCompletion:
        """Read a completion."""
        found = self._kept.get((scope.tenant, completion))
        if found is None or not scope.covers(found.user):
            raise NotFound("No such completion.")
        return found

    async def list(
        self,
        scope: Scope,
        *,
        limit: int,
        after: MessageId | None,
        newest_first: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> Page[StoredCompletion]:
        """List completions in order of creation."""
        mine = sorted(
            (
                each
                for each in self._kept.values()
                if each.tenant == scope.tenant and scope.covers(each.user)
            ),
            key=lambda each: (each.created_at, each.id),
            reverse=newest_first,
        )
        if after is not None:
            mine = mine[mine.index(await self.get(scope, after)) + 1 :]
        found = [
            each
            for each in mine
            if model in {None, each.model} and metadata.items() <= each.metadata.items()
        ]
        return Page(tuple(found[:limit]), has_more=len(found) > limit)

    async def label(
        self, scope: Scope, completion: MessageId, metadata: Mapping[str, str]
    ) -> StoredCompletion:
        """Replace a completion's metadata."""
        labelled = replace(await self.get(scope, completion), metadata=dict(metadata))
        self._kept[scope.tenant, completion] = labelled
        return labelled

    async def delete(self, scope: Scope, completion: MessageId) -> None:
        """Remove a completion."""
        await self.get(scope, completion)
        del self._kept[scope.tenant, completion]

    async def forget_user(self, tenant: str, user: str, *, limit: int) -> int:
        """Remove some of a user's completions."""
        mine = [each for each in self._kept.values() if (each.tenant, each.user) == (tenant, user)]
        for each in mine[:limit]:
            del self._kept[tenant, each.id]
        return len(mine[:limit])
