"""A shop's consultant: finds products that a customer may want, and has a model speak of them."""

from collections.abc import Mapping
from typing import Any

from parley.domain.catalogue import Product
from parley.domain.conversations import Parameters, Role
from parley.domain.ids import ConversationId
from parley.domain.once import Once
from parley.domain.tenants import Caller
from parley.services.conversations import Conversations
from parley.services.search import Finding, ProductSearch
from parley.services.turns import Turn, Turns

QUESTIONS_BACK = 2
"""How many earlier messages of the customer a message that refers back is read together with."""

DESCRIPTION_LENGTH = 240
"""Characters of a product's description that the model is shown."""

LONGEST_REPLY = 400
"""Tokens of a reply at most; a customer wants a few sentences, and a small model finds no end."""

_BRIEF = Parameters(max_tokens=LONGEST_REPLY)

_ROLE = "You are the consultant of an online shop. Answer in the language of the customer, briefly."

_FOUND = (
    "These products of the shop fit and are in stock, the best first. Recommend only products of "
    "this list, by their names, and say nothing of them that the list doesn't say:"
)

_NOT_FOUND = (
    "No product of the shop fits this message. Recommend none and invent none; if the customer "
    "asks for a product, say that the shop doesn't have it now."
)


class Consultant:
    """Answers customers with the products of the caller's own catalogue."""

    def __init__(self, search: ProductSearch, conversations: Conversations, turns: Turns) -> None:
        self._search = search
        self._conversations = conversations
        self._turns = turns

    async def warm_up(self) -> None:
        """Get ready for the first question.

        Raises:
            ModelUnavailable: this deployment carries no search.
        """
        await self._search.warm_up()

    async def ask(
        self,
        caller: Caller,
        *,
        dialect: str,
        message: str,
        chat: ConversationId | None,
        telling: Mapping[str, Any],
        once: Once | None = None,
    ) -> Turn:
        """Say something to the consultant, in a new chat where none is given.

        Returns once the message is durable and the model has accepted the request. The products
        found are the reply's `product_ids`.

        Args:
            telling: what the dialect needs to tell the turn again; empty where it doesn't stream.
            once: the request, where it may be repeated; then its turn is told again.

        Raises:
            NotFound: there is no such chat in the caller's scope.
            ParleyError: search, store or model refused or failed before the first event.
        """
        found: tuple[Product, ...] = ()
        if once is not None and once.is_told_again:
            chat = once.begun
        else:
            if chat is None:
                await self._turns.check_room(caller, text=message, parameters=_BRIEF)
            found = await self._find(caller, message, chat)
        if chat is None:
            chat = (await self._conversations.create(caller, once=once)).id
        return await self._turns.send(
            caller,
            chat,
            dialect=dialect,
            text=message,
            parameters=_BRIEF,
            briefing=briefing(found),
            product_ids=tuple(product.id for product in found),
            telling=telling,
            once=once,
        )

    async def _find(
        self, caller: Caller, message: str, chat: ConversationId | None
    ) -> tuple[Product, ...]:
        finding = await self._search.find(caller.tenant.id, message)
        if finding.refers_back and chat is not None:
            together = await self._find_with_context(caller, message, chat)
            return together.products or finding.products
        return finding.products

    async def _find_with_context(
        self, caller: Caller, message: str, chat: ConversationId
    ) -> Finding:
        """Search for what a message means together with those before it."""
        _, page = await self._conversations.history(
            caller, chat, limit=2 * QUESTIONS_BACK, newest_first=True
        )
        earlier = [said.text for said in reversed(page.items) if said.role is Role.USER]
        if not earlier:
            return Finding(())
        return await self._search.find(caller.tenant.id, "\n".join([*earlier, message]))


def briefing(products: tuple[Product, ...]) -> str:
    """What the model is told of the products found for a message, or of there being none."""
    if not products:
        return f"{_ROLE}\n\n{_NOT_FOUND}"
    return "\n".join([_ROLE, "", _FOUND, *map(_line, products)])


def _line(product: Product) -> str:
    """A product in one line, whatever its texts contain."""
    description = product.description
    if len(description) > DESCRIPTION_LENGTH:
        description = f"{description[:DESCRIPTION_LENGTH].rstrip()}…"
    details = "; ".join(f"{name}: {value}" for name, value in product.attributes.items())
    price = f"{product.price} {product.currency}"
    return " ".join(f"- {product.name} ({price}): {description} [{details}]".split())
