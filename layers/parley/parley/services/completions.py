"""Stored completions: keep, find, label and remove them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Message, Page
from parley.domain.errors import Conflict, ParleyError
from parley.domain.ids import MessageId
from parley.domain.tenants import Caller
from parley.domain.turns import CompletionRequest, Failed, Finished, TurnEvent
from parley.ports import CompletionStore
from parley.services.choices import side_by_side
from parley.services.turns import Turn


class Completions:
    """What a caller may do with completions that are kept."""

    def __init__(self, store: CompletionStore) -> None:
        self._store = store

    async def kept(
        self,
        caller: Caller,
        request: CompletionRequest,
        turns: Sequence[Turn],
        *,
        user: str | None,
        metadata: Mapping[str, str],
    ) -> AsyncGenerator[tuple[int, TurnEvent], None]:
        """Yield the events of turns side by side, and keep prompt and replies once they are whole.

        The last `Finished` comes after that, or `Failed` in its place where they couldn't be kept.

        Args:
            request: what the turns answer.
            user: whose the completion is, where the credential leaves that open.
            metadata: what to remember with it.
        """
        replies: dict[int, Message] = {}
        async with aclosing(side_by_side(turns)) as events:
            async for place, event in events:
                told = event
                if isinstance(event, Finished):
                    replies[place] = event.reply
                    if len(replies) == len(turns):
                        try:
                            await self._store.keep(
                                StoredCompletion(
                                    id=replies[0].id,
                                    tenant=caller.tenant.id,
                                    user=caller.owner(user),
                                    created_at=replies[0].created_at,
                                    model=request.model,
                                    messages=request.messages,
                                    replies=tuple(reply for _, reply in sorted(replies.items())),
                                    metadata=metadata,
                                )
                            )
                        except Conflict:
                            pass  # kept already: these turns are told again
                        except ParleyError as error:
                            told = Failed(event.reply, error)
                yield place, told

    async def get(self, caller: Caller, completion: MessageId) -> StoredCompletion:
        """A stored completion.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        return await self._store.get(caller.scope, completion)

    async def list(
        self,
        caller: Caller,
        *,
        limit: int,
        after: MessageId | None = None,
        newest_first: bool = False,
        model: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Page[StoredCompletion]:
        """The caller's stored completions in order of creation, at most `limit` of them.

        Args:
            after: begin behind this one.
            model: only those that asked this model.
            metadata: only those that have all of this among theirs.

        Raises:
            NotFound: `after` isn't one of the caller's.
        """
        if limit == 0:
            return Page((), has_more=False)
        return await self._store.list(
            caller.scope,
            limit=limit,
            after=after,
            newest_first=newest_first,
            model=model,
            metadata=metadata or {},
        )

    async def label(
        self, caller: Caller, completion: MessageId, metadata: Mapping[str, str]
    ) -> StoredCompletion:
        """Give a stored completion other metadata.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        return await self._store.label(caller.scope, completion, metadata)

    async def delete(self, caller: Caller, completion: MessageId) -> None:
        """Remove a stored completion.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        await self._store.delete(caller.scope, completion)
