"""Stored conversations: begin, find, read and remove them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from parley.domain.conversations import UNDECIDED, Conversation, Message, Page, Parameters, Rating
from parley.domain.errors import Conflict, NotFound
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Once, Repeated
from parley.domain.tenants import Caller
from parley.ports import Clock, ConversationStore, Ids
from parley.services.turns.recovery import Recovery

PAGE_BYTES = 4_000_000
"""Text that one page of history carries at most: a reply has to fit Lambda's 6 MB."""

READ_AT_ONCE = 100
"""Messages read from the store in one go while a page is filled."""


async def _nothing() -> None:
    """Let everybody pass."""


class Conversations:
    """What a caller may do with stored conversations, short of speaking in them."""

    def __init__(
        self,
        store: ConversationStore,
        clock: Clock,
        ids: Ids,
        *,
        admitted: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Put the ports in place.

        Args:
            admitted: returns once the caller's limits admit what is asked, or raises; waited for
                before a conversation is begun.
        """
        self._admitted = admitted
        self._store = store
        self._clock = clock
        self._ids = ids
        self._recovery = Recovery(store, clock)

    async def create(
        self,
        caller: Caller,
        *,
        user: str | None = None,
        title: str | None = None,
        system_prompt: str | None = None,
        model: str | None = None,
        parameters: Parameters = UNDECIDED,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        once: Once | None = None,
    ) -> Conversation:
        """Begin a conversation, or go on with the one that the same request has begun.

        Args:
            user: whose it is; a credential that speaks for one user allows only that one.
            model: the tenant's name of a model; None follows the tenant's default.
            once: the request, where it may be repeated.

        Raises:
            Forbidden: the credential speaks for another user.
            ModelNotFound: the tenant has no such model.
            NotFound: the request's conversation has been deleted.
            KeyReused: the request's key came with another one.
        """
        if once is not None and once.begun is not None:
            return await self._store.get(caller.scope, once.begun)
        owner = caller.owner(user)
        if model is not None:
            caller.tenant.routes(model)
        await self._admitted()
        now = self._clock.now()
        while True:
            conversation = Conversation(
                id=self._ids.conversation(),
                tenant=caller.tenant.id,
                user=owner,
                created_at=now,
                updated_at=now,
                title=title,
                system_prompt=system_prompt,
                model=model,
                parameters=parameters,
                metadata=metadata or {},
                inputs=inputs or {},
            )
            try:
                await self._store.create(conversation, once=once)
            except Repeated as repeated:
                if once is None or repeated.done.conversation is None:
                    raise
                once.check(repeated.done)
                return await self._store.get(caller.scope, repeated.done.conversation)
            except Conflict:  # 33 random bits do meet, once in eight thousand million
                continue
            return conversation

    async def get(self, caller: Caller, conversation: ConversationId) -> Conversation:
        """A conversation of the caller's.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        return await self._store.get(caller.scope, conversation)

    async def list(
        self,
        caller: Caller,
        *,
        user: str | None = None,
        limit: int,
        after: ConversationId | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Conversation]:
        """A user's conversations by time of creation.

        Raises:
            Forbidden: the credential speaks for another user.
            NotFound: `after` isn't one of them.
        """
        return await self._store.list_conversations(
            caller.scope,
            caller.owner(user),
            limit=limit,
            after=after,
            offset=offset,
            newest_first=newest_first,
        )

    async def count(self, caller: Caller, *, user: str | None = None) -> int:
        """How many conversations a user has.

        Raises:
            Forbidden: the credential speaks for another user.
        """
        return await self._store.count_conversations(caller.scope, caller.owner(user))

    async def rename(self, caller: Caller, conversation: ConversationId, title: str) -> None:
        """Give a conversation another title.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        await self._store.rename(caller.scope, conversation, title)

    async def rate(self, caller: Caller, message: MessageId, rating: Rating | None) -> None:
        """Note what a user thinks of a reply; None takes it back.

        Raises:
            NotFound: there is no such reply in the caller's scope.
        """
        await self._store.rate(caller.scope, message, rating)

    async def delete(self, caller: Caller, conversation: ConversationId) -> None:
        """Remove a conversation and everything said in it.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        await self._store.delete(caller.scope, conversation)

    async def messages(
        self, conversation: Conversation, *, first: int, last: int
    ) -> tuple[Message, ...]:
        """The messages numbered `first` to `last` inclusive, ascending.

        A reply whose turn died is settled as interrupted before it is shown.

        Raises:
            NotFound: the conversation has been deleted.
        """
        read = await self._store.messages(conversation, first=first, last=last)
        return await self._recovery.mend_all(conversation.tenant, read)

    async def message(self, caller: Caller, message: MessageId) -> tuple[Conversation, Message]:
        """One message, settled as `messages` does, and its conversation.

        Raises:
            NotFound: there is none in the caller's scope.
        """
        head, found = await self._store.get_message(caller.scope, message)
        return head, await self._recovery.mend(head.tenant, found)

    async def history(
        self,
        caller: Caller,
        conversation: ConversationId,
        *,
        limit: int,
        offset: int = 0,
        newest_first: bool = False,
    ) -> tuple[Conversation, Page[Message]]:
        """A page of a conversation's messages, read in proportion to the page, not to the whole.

        A page ends early, with `has_more` set, where its text would pass four megabytes.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
        """
        head = await self._store.get(caller.scope, conversation)
        wanted = range(offset + 1, min(offset + limit, head.message_count) + 1)
        page: list[Message] = []
        size = 0
        while len(page) < len(wanted) and size < PAGE_BYTES:
            numbers = wanted[len(page) : len(page) + READ_AT_ONCE]
            if newest_first:
                first = head.message_count + 1 - numbers[-1]
                last = head.message_count + 1 - numbers[0]
            else:
                first, last = numbers[0], numbers[-1]
            read = await self.messages(head, first=first, last=last)
            if len(read) < len(numbers):  # deleted between the two reads
                raise NotFound("No such conversation.")
            for message in reversed(read) if newest_first else read:
                size += _bytes(message)
                if page and size > PAGE_BYTES:
                    break
                page.append(message)
        return head, Page(tuple(page), has_more=offset + len(page) < head.message_count)


def _bytes(message: Message) -> int:
    """All of a message's text that a dialect may show, in UTF-8."""
    texts = (
        message.text,
        message.reasoning,
        *(call.arguments for call in message.tool_calls),
        *(result.text for result in message.tool_results),
    )
    return sum(len(text.encode()) for text in texts)
