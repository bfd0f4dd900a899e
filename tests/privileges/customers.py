"""Customers of the deployment, as its operators know them."""

import asyncio
import json
import secrets

import httpx

from local.demo_app import DEMO_APP
from parley import bootstrap
from parley.domain.conversations import Conversation, Scope
from parley.domain.errors import NotFound
from parley.domain.ids import ConversationId
from parley.domain.personas import PersonaContent
from parley.domain.routes import ModelRoute
from parley.domain.tenants import ApiKey, KeyKind, Tenant
from parley.services.credentials import digest
from tests.privileges.deployment import EVENTS, Deployment
from tests.routes.conftest import NOW

USER = "user-81"


class Customer:
    """A tenant with all that event files name, to be used up by one request.

    It has been suspended for so long that nobody has to be waited for who still writes for it.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.id = f"customer-{secrets.token_hex(4)}"
        self._deployment = deployment
        self._services = bootstrap.services()
        self._tenant = Tenant(
            id=self.id,
            created_at=self._services.basics.clock.now(),  # every day since then is read
            models={"small": ModelRoute("scripted", "scripted")},
            suspended_at=NOW,
        )
        self._chat = Conversation(
            id=ConversationId(4711), tenant=self.id, user=USER, created_at=NOW, updated_at=NOW
        )
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        directory, personas = self._services.directory, self._services.personas
        await directory.put_tenant(self._tenant)
        await directory.put_key(
            ApiKey(
                id="key_test_demo",
                tenant=self.id,
                kind=KeyKind.TEST,
                digest=digest(self._deployment.pepper, self.id),
                created_at=NOW,
            )
        )
        await directory.put_app(self.id, DEMO_APP)
        first, second = (
            PersonaContent(name="Guide", system_prompt=prompt)
            for prompt in ("Be kind.", "Be brief.")
        )
        guide = await personas.create(self._tenant, alias="my-alias", content=first)
        await personas.submit(self._tenant, guide.id)
        await personas.edit(self._tenant, guide.id, second)
        await personas.submit(self._tenant, guide.id)
        await self._services.store.create(self._chat)
        await self._services.store.append_turn(self._chat, text="Hello", model="any", at=NOW)

    def ask(self, operator: httpx.Auth | None, route: str) -> httpx.Response:
        """Send an event file's request, for this customer, with a signature of now."""
        event = EVENTS[f"admin/{route}"]
        query = event["queryStringParameters"] or {}
        body = event["body"]
        if route == "create_tenant":
            body = json.dumps({"id": f"{self.id}-too"})
        asked = {
            **event,
            "path": event["path"].replace("/demo", f"/{self.id}"),
            "queryStringParameters": query | ({"tenant": self.id} if "tenant" in query else {}),
            "headers": {"Content-Type": "application/json"},
            "body": body,
        }
        return self._deployment.send(asked, operator)

    def exists(self) -> bool:
        """Whether there is still the tenant."""
        return asyncio.run(self._services.directory.get_tenant(self.id)) is not None

    def has_chat(self) -> bool:
        """Whether there is still its user's chat."""
        try:
            asyncio.run(self._services.store.get(Scope(self.id), self._chat.id))
        except NotFound:
            return False
        return True
