"""Conversations of an app: begun with a filled-in form, read as questions with their answers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from parley.domain.apps import App, AppUnavailable, SuggestionsDisabled, fill, title_after
from parley.domain.conversations import Conversation, Message, Page, Parameters, Rating, Role
from parley.domain.errors import Conflict, ModelNotFound, NotFound
from parley.domain.ids import NEVER_ISSUED, ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.tenants import Caller
from parley.domain.tokens import estimate_tokens
from parley.domain.turns import CompletionRequest, PromptMessage
from parley.ports import ConversationStore, Directory
from parley.services.conversations import PAGE_BYTES, READ_AT_ONCE, Conversations
from parley.services.turns import Turn, Turns

MOST_SUGGESTIONS = 3

LONGEST_SUGGESTION = 200
"""Characters."""

_SUGGEST = (
    "Read this exchange. Write the three short questions that the user is most likely to ask next, "
    "in the user's language, as a JSON array of strings and nothing else."
)
"""What the model is told to do when it is asked for questions."""

_TOKENS_TO_SUGGEST_FROM = 500
"""What of a question and of an answer the model is shown to suggest from, by the estimate."""

_QUESTION = re.compile(r"\u00bf?[^\W\d_].*[?\uff1f\u061f\u1367]")
"""From the first letter, behind what numbers a list, to the last question mark of any script."""

_SEPARATOR = re.compile(r'\n|"\s*,\s*"')
"""What separates the lines of a list, and the strings of an array that broke off."""

_SAMPLING = Parameters(temperature=0, max_tokens=200)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and the reply to it: one message, where apps are spoken to."""

    conversation: Conversation
    question: Message
    reply: Message


class Apps:
    """What users of an app may do.

    A conversation goes by its own id or by the one it had in the system it was brought from, and
    every caller given here is held to one user, beyond whose data nothing exists.
    """

    def __init__(
        self,
        directory: Directory,
        store: ConversationStore,
        conversations: Conversations,
        turns: Turns,
    ) -> None:
        self._directory = directory
        self._store = store
        self._conversations = conversations
        self._turns = turns

    async def of(self, caller: Caller) -> App:
        """The caller's app; one without form and prompt where the tenant has none."""
        return await self._directory.get_app(caller.tenant.id) or App()

    async def ask(
        self,
        caller: Caller,
        conversation: str | None,
        *,
        text: str,
        inputs: Mapping[str, Any],
        named: bool,
        dialect: str,
        telling: Callable[[str], Mapping[str, Any]],
        once: Once | None = None,
    ) -> tuple[Turn, str]:
        """Ask something in a conversation, or in a new one that begins with a filled-in form.

        Returns once the question is durable and the model has accepted the request.

        Args:
            conversation: None or empty begins one; only then the inputs are looked at.
            named: whether the question gives a new conversation its name.
            telling: what the dialect needs to tell the turn again, by the id that is returned.
            once: the request, where it may be repeated; then its turn is told again.

        Returns:
            The turn, and the id by which the caller knows the conversation.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            InvalidRequest: an input is missing or wrong, or the text too long; `param` names it.
            AppUnavailable: the app has no model to answer.
            ParleyError: the store or the model refused or failed before the first event.
        """
        if once is not None and once.begun is not None:
            id_ = once.begun
        elif conversation:
            id_ = await self.find(caller, conversation)
        else:
            id_ = await self._begin(caller, text=text, inputs=inputs, named=named, once=once)
        is_alias = conversation and ConversationId.parse(conversation) != id_
        name = conversation if conversation and is_alias else str(id_)
        turn = await self._turns.send(
            caller, id_, dialect=dialect, text=text, telling=telling(name), once=once
        )
        return turn, name

    async def find(self, caller: Caller, name: str) -> ConversationId:
        """The id of a conversation; an unknown name costs one read, be it made out here or later.

        Raises:
            NotFound: the name isn't an id of ours, nor of a conversation brought here.
        """
        conversation = ConversationId.parse(name)
        if conversation.number != NEVER_ISSUED:
            return conversation
        found = await self._store.find_alias(caller.scope, name)
        if found is None:
            raise NotFound("No such conversation.")
        return found

    async def conversations(
        self, caller: Caller, *, after: str | None, limit: int, newest_first: bool
    ) -> Page[Conversation]:
        """The user's conversations by time of creation, behind the one called `after`.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._conversations.list(
            caller,
            limit=limit,
            after=await self.find(caller, after) if after else None,
            newest_first=newest_first,
        )

    async def exchanges(
        self,
        caller: Caller,
        conversation: str | None,
        *,
        before: MessageId | None = None,
        limit: int,
    ) -> Page[Exchange]:
        """The newest exchanges of a conversation, or the newest before one; in order of time.

        Only they are read. A page ends early where its text would pass four megabytes.

        Args:
            conversation: None or empty is the one begun last; before the first, the page is empty.

        Raises:
            NotFound: there is no such conversation, or no such exchange in it.
        """
        if conversation:
            head = await self._store.get(caller.scope, await self.find(caller, conversation))
        elif newest := await self._newest(caller):
            head = newest
        else:
            return Page((), has_more=False)
        last = head.message_count
        if before is not None:
            if before.conversation != head.id or before.sequence not in range(2, last + 1, 2):
                raise NotFound("No such message in this conversation.", param="first_id")
            last = before.sequence - 2
        first = max(last - 2 * limit, 0) + 1
        page: list[Exchange] = []
        size = 0
        while last >= first:
            start = max(first, last - READ_AT_ONCE + 1)
            messages = await self._conversations.messages(head, first=start, last=last)
            for question, reply in reversed(_pairs(messages)):
                size += len(question.text.encode()) + len(reply.text.encode())
                if page and size > PAGE_BYTES:
                    return Page(tuple(reversed(page)), has_more=True)
                page.append(Exchange(head, question, reply))
            last = start - 1
        return Page(tuple(reversed(page)), has_more=first > 1)

    async def rate(self, caller: Caller, reply: MessageId, rating: Rating | None) -> Exchange:
        """Note what the user thinks of a reply; None takes it back.

        Raises:
            NotFound: there is no such reply in the caller's scope.
        """
        await self._conversations.rate(caller, reply, rating)
        return await self._exchange(caller, reply)

    async def rename(
        self, caller: Caller, conversation: str | None, title: str | None
    ) -> Conversation:
        """Give a conversation another title.

        Args:
            conversation: None is the one begun last.
            title: None takes it from the first question.

        Raises:
            NotFound: there is no such conversation in the caller's scope.
            Conflict: nothing has been asked in it that could name it.
        """
        if conversation is not None:
            head = await self._store.get(caller.scope, await self.find(caller, conversation))
        elif newest := await self._newest(caller):
            head = newest
        else:
            raise NotFound("No such conversation.")
        if title is None:
            if not head.message_count:
                raise Conflict("There is no message yet to name the conversation after.")
            [question] = await self._store.messages(head, first=1, last=1)
            title = title_after(question.text)
        await self._conversations.rename(caller, head.id, title)
        return replace(head, title=title)

    async def suggest(self, caller: Caller, reply: MessageId, *, dialect: str) -> list[str]:
        """Up to three questions that the user could ask after this reply, as the model thinks.

        Raises:
            NotFound: there is no such reply in the caller's scope.
            SuggestionsDisabled: the app doesn't suggest questions.
            ParleyError: the model refused or failed.
        """
        exchange = await self._exchange(caller, reply)
        if not (await self.of(caller)).suggests_after_answer:
            raise SuggestionsDisabled("This app doesn't suggest questions.")
        if not exchange.reply.text:
            return []
        question, answer = exchange.question.text, exchange.reply.text
        request = CompletionRequest(
            model=exchange.conversation.model or caller.tenant.default_model,
            messages=(
                PromptMessage(Role.SYSTEM, _SUGGEST),
                PromptMessage(
                    Role.USER, f"User: {_beginning(question)}\n\nAssistant: {_beginning(answer)}"
                ),
            ),
            parameters=_SAMPLING,
        )
        turn = await self._turns.complete(caller, request, dialect=dialect)
        return read_questions((await turn.result()).text)

    async def _begin(
        self,
        caller: Caller,
        *,
        text: str,
        inputs: Mapping[str, Any],
        named: bool,
        once: Once | None,
    ) -> ConversationId:
        app = await self.of(caller)
        values = app.read_inputs(inputs)
        prompt = fill(app.prompt_template, values) or None
        try:
            self._turns.check(
                caller,
                text=text,
                system_prompt=prompt,
                model=app.model,
                parameters=app.parameters,
            )
            await self._turns.check_room(
                caller,
                text=text,
                system_prompt=prompt,
                model=app.model,
                parameters=app.parameters,
            )
        except ModelNotFound as error:
            raise AppUnavailable(
                "This app has no model to answer; its owner has to set one."
            ) from error
        conversation = await self._conversations.create(
            caller,
            title=title_after(text) if named else None,
            system_prompt=prompt,
            model=app.model,
            parameters=app.parameters,
            inputs=values,
            once=once,
        )
        return conversation.id

    async def _newest(self, caller: Caller) -> Conversation | None:
        page = await self._conversations.list(caller, limit=1)
        return page.items[0] if page.items else None

    async def _exchange(self, caller: Caller, reply: MessageId) -> Exchange:
        head, answer = await self._conversations.message(caller, reply)
        if answer.role is not Role.ASSISTANT:
            raise NotFound("No such message.")
        number = reply.sequence - 1
        [question] = await self._store.messages(head, first=number, last=number)
        return Exchange(head, question, answer)


def read_questions(text: str) -> list[str]:
    """The questions in what a model wrote, be it the JSON array it was asked for or a mere list."""
    array = re.search(r"\[.*\]", text, re.DOTALL)
    try:
        listed = json.loads(array[0]) if array else None
    except ValueError:
        listed = None
    candidates = listed if isinstance(listed, list) else _SEPARATOR.split(text)
    found = (_QUESTION.search(each) for each in candidates if isinstance(each, str))
    questions = [each[0] for each in found if each and len(each[0]) <= LONGEST_SUGGESTION]
    return list(dict.fromkeys(questions))[:MOST_SUGGESTIONS]


def _pairs(messages: Sequence[Message]) -> list[tuple[Message, Message]]:
    return list(zip(messages[::2], messages[1::2], strict=True))


def _beginning(text: str) -> str:
    while estimate_tokens(text) > _TOKENS_TO_SUGGEST_FROM:
        text = text[: len(text) // 2]
    return text
