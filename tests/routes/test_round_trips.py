"""How many trips to the store a turn waits for before its model is asked.

What may go side by side is made to: each of such calls waits for the others to have begun, so that
one which came after another had ended would wait for ever.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient

from parley import bootstrap
from parley.adapters.models.scripted import ScriptedModel
from parley.domain.turns import CompletionRequest, ModelEvent
from tests.routes.conftest import Invoke

PATIENCE = 10
"""Seconds after which what is waited for won't come."""

ADMIT, FIND, MODEL = "UpdateItem transient", "GetItem transient", "the model"
APPEND = "TransactWriteItems"
BEGIN, BEGIN_ONCE = "PutItem transient", "TransactWriteItems"

KEY = {"Idempotency-Key": "order-66"}


class Trips:
    """What is asked of the store and the model, in steps: those of one step go side by side."""

    def __init__(self, *steps: Collection[str]) -> None:
        self._left = [set(step) for step in steps]
        self._changed = threading.Condition()
        self.begun: list[str] = []
        self.is_over = False

    def begin(self, name: str) -> None:
        """Wait until the rest of its step has begun, too."""
        with self._changed:
            if self.is_over:
                return
            self.begun.append(name)
            assert self._left, f"{name} wasn't foreseen after {self.begun}"
            step = self._left[0]
            assert name in step, f"{name} isn't one of {step}, after {self.begun}"
            step.remove(name)
            if not step:
                self._left.pop(0)
                self.is_over = not self._left
                self._changed.notify_all()
            assert self._changed.wait_for(lambda: not step, PATIENCE), f"{step} came too late"


@pytest.fixture
def within(services: bootstrap.Services, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> Any:
    """Hold what is done in a block to these steps; the credential is known already."""
    assert invoke("openai/list_models").status == 200
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # every call goes through it
    complete = ScriptedModel.complete
    tables = {services.basics.tables.transient: "transient"}

    @contextmanager
    def within(*steps: Collection[str]) -> Iterator[Trips]:
        trips = Trips(*steps)

        def waiting(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
            table = tables.get(arguments.get("TableName", ""))
            trips.begin(f"{operation} {table}" if table else operation)
            return call(client, operation, arguments)

        async def asked(
            model: ScriptedModel, request: CompletionRequest
        ) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.to_thread(trips.begin, MODEL)
            async for event in complete(model, request):
                yield event

        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", waiting)
            patch.setattr(ScriptedModel, "complete", asked)
            yield trips
        assert trips.is_over, trips.begun

    return within


def test_a_stateless_completion_waits_for_one_trip(invoke: Invoke, within: Any) -> None:
    with within({ADMIT}, {BEGIN, MODEL}):
        assert invoke("openai/create_completion").status == 200


def test_a_message_of_a_stored_conversation_waits_for_two(
    invoke: Invoke, within: Any, stored_chat: str
) -> None:
    with within({ADMIT, "Query"}, {APPEND}, {MODEL}):
        assert invoke("sessions/send_message").status == 201


def test_an_idempotency_key_adds_one_trip_to_a_completion(invoke: Invoke, within: Any) -> None:
    with within({ADMIT, FIND}, {BEGIN_ONCE}, {MODEL}):
        assert invoke("openai/create_completion", headers=KEY).status == 200


def test_an_idempotency_key_adds_one_trip_to_a_message(
    invoke: Invoke, within: Any, stored_chat: str
) -> None:
    with within({ADMIT, FIND}, {"Query"}, {APPEND}, {MODEL}):
        assert invoke("sessions/send_message", headers=KEY).status == 201
