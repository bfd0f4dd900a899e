"""What is stored of a tenant's users: shown, handed out and removed on request."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from typing import Any, Self, TypeVar

from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Conversation, Message, Page, Scope
from parley.domain.errors import InvalidRequest, NotFound
from parley.domain.ids import ConversationId, MessageId
from parley.ports import Clock, CompletionStore, ConversationStore, Erasure, Ledger
from parley.services.administration.tenants import Tenants

T = TypeVar("T")
Id = TypeVar("Id")

CONVERSATIONS_AT_ONCE = 50
COMPLETIONS_AT_ONCE = 50
MESSAGES_AT_ONCE = 10
"""Read in one go while data is handed out; a message may have megabytes."""

Line = dict[str, Any]
"""One JSON object of an export."""

_BOOKMARK = re.compile(
    r"c(?P<completion>[0-9]{1,16})|(?P<conversation>[0-9]{1,10})\.(?P<sequence>[0-9]{1,7})"
)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A line of an export, behind which the export can go on."""

    conversation: ConversationId | None
    sequence: int
    """Of the last message that was told; 0 where it was the conversation itself."""
    completion: MessageId | None = None
    """Told instead of the other two, where it was a stored completion."""

    @classmethod
    def at(cls, line: Line) -> Self:
        """The bookmark behind a line."""
        match line["type"]:
            case "conversation":
                return cls(ConversationId.parse(line["id"]), 0)
            case "message":
                return cls(ConversationId.parse(line["conversation"]), line["sequence"])
        return cls(None, 0, MessageId.parse(line["id"]))

    def __str__(self) -> str:
        if self.completion is not None:
            return f"c{self.completion.number}"
        return f"{self.conversation and self.conversation.number}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The bookmark that was written like this.

        Raises:
            InvalidRequest: none is.
        """
        found = _BOOKMARK.fullmatch(text)
        if found is None:
            raise InvalidRequest("cursor: This is no cursor of an export.", param="cursor")
        if found["completion"]:
            return cls(None, 0, MessageId.from_number(int(found["completion"])))
        number = int(found["conversation"])
        return cls(ConversationId.from_number(number), int(found["sequence"]))


@dataclass(frozen=True, slots=True)
class Removed:
    """How much was removed of a user's data."""

    conversations: int
    completions: int
    ledger_lines: int
    """Kept for the accounts, without the user's name."""


class People:
    """The data of tenants' users, as an operator is asked for it."""

    def __init__(
        self,
        tenants: Tenants,
        *,
        store: ConversationStore,
        completions: CompletionStore,
        ledger: Ledger,
        erasure: Erasure,
        clock: Clock,
    ) -> None:
        self._tenants = tenants
        self._store = store
        self._completions = completions
        self._ledger = ledger
        self._erasure = erasure
        self._clock = clock

    async def conversations(
        self,
        tenant_id: str,
        user: str,
        *,
        limit: int,
        after: ConversationId | None = None,
        newest_first: bool = True,
    ) -> Page[Conversation]:
        """A user's conversations by time of creation.

        Raises:
            NotFound: there is no such tenant, or `after` isn't one of them.
        """
        await self._tenants.get(tenant_id)
        return await self._store.list_conversations(
            Scope(tenant_id), user, limit=limit, after=after, newest_first=newest_first
        )

    async def export(
        self, tenant_id: str, user: str, *, behind: Bookmark | None = None
    ) -> AsyncIterator[Line]:
        """All that is stored of a user, oldest first, in as much memory as a few messages take.

        Each conversation is a line, followed by a line for each of its messages; then comes a line
        for each stored completion. What is removed meanwhile may be missing.

        Args:
            behind: leave out what comes before this, and it.

        Raises:
            NotFound: there is no such tenant, or what the bookmark is at has been removed.
        """
        await self._tenants.get(tenant_id)
        if behind is None or behind.completion is None:
            at = behind.conversation if behind else None
            if behind is not None and at is not None:
                conversation = await self._store.get(Scope(tenant_id, user), at)
                async for line in self._messages(conversation, first=behind.sequence + 1):
                    yield line
            async for conversation in self._all_conversations(tenant_id, user, after=at):
                yield conversation_line(conversation)
                async for line in self._messages(conversation):
                    yield line
        async for completion in self._all_completions(
            tenant_id, user, after=behind.completion if behind else None
        ):
            yield completion_line(completion)

    async def _messages(self, conversation: Conversation, *, first: int = 1) -> AsyncIterator[Line]:
        """The messages of a conversation from a number on; what is removed meanwhile ends them."""
        for start in range(first, conversation.message_count + 1, MESSAGES_AT_ONCE):
            last = min(start + MESSAGES_AT_ONCE - 1, conversation.message_count)
            try:
                read = await self._store.messages(conversation, first=start, last=last)
            except NotFound:
                return
            for message in read:
                yield message_line(message)

    async def delete(
        self, tenant_id: str, user: str, *, progress: Callable[[int], None] = lambda _: None
    ) -> Removed:
        """Remove all that is stored of a user; when interrupted, call it again.

        Conversations and stored completions go with everything in them, and the ledger's lines lose
        the user's name: what was spent stays true.

        Args:
            progress: told how many more conversations, completions and days are done.

        Raises:
            NotFound: there is no such tenant.
        """
        tenant = await self._tenants.get(tenant_id)
        scope = Scope(tenant_id)
        conversations = [each async for each in self._doomed_conversations(scope, user, progress)]
        completions = 0
        while removed := await self._completions.forget_user(
            tenant_id, user, limit=COMPLETIONS_AT_ONCE
        ):
            completions += removed
            progress(removed)
        await self._erasure.erase_passing(tenant_id, user, conversations=conversations)
        await self._store.forget_user(tenant_id, user)
        lines = 0
        day = tenant.created_at.astimezone(UTC).date()
        while day <= self._today():
            lines += await self._ledger.forget_user(tenant_id, user, day)
            day += timedelta(days=1)
            progress(1)
        return Removed(len(conversations), completions, lines)

    async def _doomed_conversations(
        self, scope: Scope, user: str, progress: Callable[[int], None]
    ) -> AsyncIterator[ConversationId]:
        """Remove a user's conversations, first those whose deletion was left unfinished."""
        while True:
            doomed = await self._store.unfinished_deletions(scope, user)
            if not doomed:
                page = await self._store.list_conversations(
                    scope, user, limit=CONVERSATIONS_AT_ONCE
                )
                doomed = tuple(conversation.id for conversation in page.items)
            if not doomed:
                return
            for conversation in doomed:
                with suppress(NotFound):
                    await self._store.delete(scope, conversation)
                yield conversation
                progress(1)

    def _all_conversations(
        self, tenant_id: str, user: str, *, after: ConversationId | None = None
    ) -> AsyncIterator[Conversation]:
        return _all(
            lambda last: self._store.list_conversations(
                Scope(tenant_id),
                user,
                limit=CONVERSATIONS_AT_ONCE,
                after=last,
                newest_first=False,
            ),
            after,
            lambda conversation: conversation.id,
        )

    def _all_completions(
        self, tenant_id: str, user: str, *, after: MessageId | None = None
    ) -> AsyncIterator[StoredCompletion]:
        return _all(
            lambda last: self._completions.list(
                Scope(tenant_id, user),
                limit=MESSAGES_AT_ONCE,
                after=last,
                newest_first=False,
                model=None,
                metadata={},
            ),
            after,
            lambda completion: completion.id,
        )

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()


async def _all(
    read: Callable[[Id | None], Awaitable[Page[T]]], after: Id | None, id_of: Callable[[T], Id]
) -> AsyncIterator[T]:
    """All of a list behind one of it, page by page; what is removed meanwhile may be missing.

    Args:
        read: the first page behind one of the list, or of all.

    Raises:
        NotFound: what to begin behind has been removed.
    """
    told = [after]
    has_more = True
    while has_more:
        try:
            page = await read(told[-1])
        except NotFound:
            told.pop()  # all that was told behind the one before is gone, so the rest begins there
            if not told:
                raise
            continue
        for each in page.items:
            yield each
            told.append(id_of(each))
        has_more = page.has_more


def conversation_line(conversation: Conversation) -> Line:
    """A conversation as a line of an export."""
    return {
        "type": "conversation",
        "id": str(conversation.id),
        "number": conversation.id.number,
        "user": conversation.user,
        "created_at": conversation.created_at.isoformat(),
        "updated_at": conversation.updated_at.isoformat(),
        "title": conversation.title,
        "model": conversation.model,
        "system_prompt": conversation.system_prompt,
        "parameters": asdict(conversation.parameters),
        "metadata": conversation.metadata,
        "inputs": conversation.inputs,
        "alias": conversation.alias,
        "message_count": conversation.message_count,
    }


def message_line(message: Message) -> Line:
    """A message as a line of an export."""
    return {
        "type": "message",
        "id": str(message.id),
        "number": message.id.number,
        "conversation": str(message.id.conversation),
        "sequence": message.id.sequence,
        "role": message.role.value,
        "text": message.text,
        "status": message.status.value,
        "created_at": message.created_at.isoformat(),
        "model": message.model,
        "finish_reason": message.finish_reason and message.finish_reason.value,
        "usage": message.usage and asdict(message.usage),
        "error": message.error,
        "product_ids": message.product_ids,
        "rating": message.rating and message.rating.value,
        "reasoning": message.reasoning,
        "tool_calls": [asdict(call) for call in message.tool_calls],
        "tool_results": [asdict(result) for result in message.tool_results],
    }


def completion_line(completion: StoredCompletion) -> Line:
    """A stored completion as a line of an export."""
    return {
        "type": "completion",
        "id": str(completion.id),
        "number": completion.id.number,
        "user": completion.user,
        "created_at": completion.created_at.isoformat(),
        "model": completion.model,
        "metadata": completion.metadata,
        "messages": [asdict(message) for message in completion.messages],
        "replies": [message_line(reply) for reply in completion.replies],
    }
