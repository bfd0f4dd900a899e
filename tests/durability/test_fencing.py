"""A process that is paused for longer than its lease, and wakes up: it overwrites nothing."""

from collections.abc import Callable, Sequence

import anyio
import pytest

from parley.domain.conversations import Message, Status
from parley.domain.ids import ConversationId
from tests.support.deployment import (
    Customer,
    Deployment,
    check_counted_once,
    check_well_formed,
)
from tests.support.listening import Heard, listen, script, words
from tests.support.serving import Process
from tests.support.store_proxy import Answer, Call, Decide, Forward, proxy_of

pytestmark = pytest.mark.anyio

WORDS = words(60, wait=0.03)
REPLY = "".join(step["text"] for step in WORDS)
BODY = {"stream": True, "content": script(*WORDS)}
KEY = {"idempotency-key": "k"}


def is_checkpoint(call: Call) -> bool:
    return call.operation == "PutItem" and "deltas" in call.arguments["Item"]


def is_settling(call: Call) -> bool:
    return (
        call.operation == "TransactWriteItems"
        and any("ledger" in table.lower() for table in call.tables)
        and b"deltas" in call.body
    )


class Pause:
    """Pauses a process once, at a call of the store, while somebody else reads."""

    def __init__(self, wanted: Callable[[Call], bool], meanwhile: Callable[[], None]) -> None:
        self.process: Process
        self.is_over = False
        self._wanted = wanted
        self._meanwhile = meanwhile

    def before(self, call: Call, forward: Forward) -> Answer | None:
        """Pause it before the call has happened."""
        self._pause_at(call)
        return forward()

    def after(self, call: Call, forward: Forward) -> Answer | None:
        """Pause it when the call has happened, and it hasn't heard of that."""
        answer = forward()
        self._pause_at(call)
        return answer

    def _pause_at(self, call: Call) -> None:
        if not self.is_over and self._wanted(call):
            self.is_over = True
            self.process.pause()
            self._meanwhile()
            self.process.resume()


async def hear(
    deployment: Deployment,
    customer: Customer,
    conversation: ConversationId,
    pause: Pause,
    decide: Decide,
) -> Heard:
    """What a client hears of a turn whose process is paused."""
    with proxy_of(deployment.url) as proxy, deployment.zygote.serving(store=proxy.url) as process:
        pause.process = process
        proxy.decide = decide
        async with customer.client(process) as client:
            heard = await listen(client, f"/v1/chat/{conversation}", BODY, headers=KEY)
    assert pause.is_over
    return heard


@pytest.mark.parametrize(
    ("wanted", "side"),
    [(is_checkpoint, Pause.before), (is_checkpoint, Pause.after), (is_settling, Pause.before)],
    ids=["before a checkpoint", "after a checkpoint", "before the settling"],
)
async def test_a_process_that_wakes_up_late_overwrites_nothing(
    deployment: Deployment,
    wanted: Callable[[Call], bool],
    side: Callable[[Pause, Call, Forward], Answer | None],
) -> None:
    customer = await deployment.customer()
    conversation = await customer.conversation()
    settled: list[Sequence[Message]] = []

    async def settle() -> None:
        settled.append(await customer.history(conversation))

    pause = Pause(wanted, lambda: anyio.run(settle))

    def decide(call: Call, forward: Forward) -> Answer | None:
        return side(pause, call, forward)

    heard = await hear(deployment, customer, conversation, pause, decide)
    [[_, ended]] = settled
    assert (ended.status, ended.error) == (Status.INTERRUPTED, "interrupted")
    assert REPLY.startswith(ended.text)
    assert heard.text.startswith(ended.text)
    assert (heard.error, heard.done) == ("interrupted", False)
    assert await customer.history(conversation) == settled[0]
    check_counted_once(await customer.ledger(), [ended])
    with deployment.zygote.serving() as another:
        async with customer.client(another) as client:
            again = await listen(client, f"/v1/chat/{conversation}", BODY, headers=KEY)
    assert (again.text, again.error) == (ended.text, "interrupted")


async def test_a_process_that_was_faster_than_its_lease_is_believed(deployment: Deployment) -> None:
    """It is paused when its reply is settled, and it doesn't know yet."""
    customer = await deployment.customer()
    conversation = await customer.conversation()
    settled: list[Sequence[Message]] = []

    async def look() -> None:
        settled.append(await customer.history(conversation))

    pause = Pause(is_settling, lambda: anyio.run(look))
    heard = await hear(deployment, customer, conversation, pause, pause.after)
    [[_, ended]] = settled
    assert (ended.status, ended.text) == (Status.COMPLETED, REPLY)
    assert (heard.text, heard.done, heard.error) == (REPLY, True, None)
    check_well_formed(await customer.history(conversation))
    check_counted_once(await customer.ledger(), [ended])
