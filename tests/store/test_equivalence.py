"""The fake and DynamoDB can't be told apart by any sequence of calls that hypothesis finds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from moto import mock_aws

from parley.domain.conversations import Conversation, Message, Rating, Scope
from parley.domain.errors import ParleyError
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Answer, Once, Repeated
from parley.domain.turns import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from parley.ports import ConversationStore, Requests
from tests.support.aws import dynamodb_client, make_tables
from tests.support.clock import ManualClock
from tests.support.stores import Stores, finished, in_memory, on_dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

USERS = st.sampled_from(["alice", "bob"])
IDS = st.builds(ConversationId, st.integers(0, 4))
SCOPES = st.builds(Scope, st.sampled_from(["t", "t", "other"]), st.none() | USERS)
SMALL = st.integers(0, 9)
ALIASES = st.none() | st.sampled_from(["x", "y"])
PRODUCTS = st.tuples() | st.tuples(SMALL, SMALL)
RATINGS = st.none() | st.sampled_from(Rating)

ONCES = st.none() | st.builds(
    Once, tenant=st.just("t"), name=st.sampled_from(["k", "l"]), fingerprint=st.sampled_from("fg")
)
DELTAS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(min_size=1, max_size=3)),
        st.builds(TextDelta, st.just("x"), st.just(({"token": "x", "logprob": -0.5},))),
        st.builds(ReasoningDelta, st.text(min_size=1, max_size=3)),
        st.builds(ToolCallDelta, st.integers(0, 2), st.text(max_size=3), st.none() | st.just("c")),
    ),
    max_size=3,
)

Call = Callable[[ConversationStore], Awaitable[Any]]
Ask = Callable[[Requests], Awaitable[Any]]


@cache
def _client() -> "DynamoDBClient":
    return dynamodb_client(None)  # which moto answers for, whenever it is started


class BothStores(RuleBasedStateMachine):
    """Every call goes to both stores, and both have to answer alike."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = ManualClock()
        self._aws = mock_aws()
        self._aws.start()
        self._client = _client()
        self._fake = in_memory(self._clock)
        self._real = on_dynamodb(self._client, make_tables(self._client), self._clock)
        self._known: list[Conversation] = []
        self._replies: list[Message] = []

    def teardown(self) -> None:
        self._aws.stop()

    def _both(self, call: Call) -> Any:
        return self._alike(lambda stores: call(stores.conversations))

    def _both_know(self, ask: Ask) -> Any:
        return self._alike(lambda stores: ask(stores.requests))

    def _alike(self, call: Callable[[Stores], Awaitable[Any]]) -> Any:
        fake, real = (anyio.run(_outcome, call, stores) for stores in (self._fake, self._real))
        assert fake == real
        return fake

    @rule(
        id_=IDS,
        user=USERS,
        prompt=st.none() | st.text(max_size=3),
        alias=ALIASES,
        once=ONCES,
        seconds=st.integers(0, 1),
    )
    def create(
        self,
        *,
        id_: ConversationId,
        user: str,
        prompt: str | None,
        alias: str | None,
        once: Once | None,
        seconds: int,
    ) -> None:
        self._clock.advance(seconds)
        conversation = self._fake.new(
            id=id_, tenant="t", user=user, system_prompt=prompt, alias=alias
        )
        self._known.append(conversation)
        self._both(lambda store: store.create(conversation, once=once))

    @rule(which=SMALL, products=PRODUCTS, once=ONCES, alone=st.booleans())
    def append_turn(
        self, which: int, products: tuple[int, ...], once: Once | None, *, alone: bool
    ) -> None:
        if self._known:
            conversation = self._known[which % len(self._known)]
            self._clock.advance(0.5)
            at = self._clock.now()
            answer = self._both(
                lambda store: store.append_turn(
                    conversation,
                    text="Hello?",
                    model="m",
                    at=at,
                    product_ids=products,
                    once=once,
                    alone=alone,
                )
            )
            if isinstance(answer[0], Message):
                self._replies.append(answer[1])

    @rule(which=SMALL, text=st.text(max_size=3))
    def settle_turn(self, which: int, text: str) -> None:
        if self._replies:
            reply = finished(self._replies[which % len(self._replies)], text)
            self._fake.tenant = "t"
            record = self._fake.record(reply)
            self._both(lambda store: store.settle(reply, record))

    @rule(which=SMALL, number=st.integers(1, 4), shown=st.integers(0, 4), deltas=DELTAS)
    def checkpoint(self, which: int, number: int, shown: int, deltas: Sequence[Delta]) -> None:
        if self._replies:
            reply = self._replies[which % len(self._replies)].id
            self._clock.advance(0.25)
            grown = self._fake.grown(number, deltas, shown=shown)
            self._both(lambda store: store.checkpoint("t", reply, grown))
            for after in range(6):
                behind = partial(_checkpoints, reply=reply, after=after)
                self._both(behind)
            self._both(lambda store: store.last_sign("t", reply))

    @rule(once=ONCES, step=st.sampled_from(["hold", "answer", "release"]), seconds=SMALL)
    def request(self, once: Once | None, step: str, seconds: int) -> None:
        self._clock.advance(seconds)
        if once is not None:
            until = self._clock.now() + timedelta(seconds=5)
            match step:
                case "hold":
                    self._both_know(lambda requests: requests.hold(once, until=until))
                case "answer":
                    answer = Answer(200, "text/plain", f"{seconds}")
                    self._both_know(lambda requests: requests.answered(once, answer))
                case _:
                    self._both_know(lambda requests: requests.release(once))
            self._both_know(lambda requests: requests.find(once))

    @rule(scope=SCOPES, id_=IDS, limit=SMALL)
    def read(self, scope: Scope, id_: ConversationId, limit: int) -> None:
        self._both(lambda store: store.get(scope, id_))
        answer = self._both(lambda store: store.get_with_newest(scope, id_, limit))
        if isinstance(answer[0], Conversation):
            self._known.append(answer[0])

    @rule(scope=SCOPES, id_=IDS, sequence=SMALL, rating=RATINGS)
    def message(
        self, scope: Scope, id_: ConversationId, sequence: int, rating: Rating | None
    ) -> None:
        message = MessageId(id_, sequence)
        self._both(lambda store: store.rate(scope, message, rating))
        self._both(lambda store: store.get_message(scope, message))

    @rule(scope=SCOPES, id_=IDS, sequence=SMALL)
    def stop(self, scope: Scope, id_: ConversationId, sequence: int) -> None:
        message = MessageId(id_, sequence)
        self._both(lambda store: store.stop_requested("t", message))
        self._both(lambda store: store.request_stop(scope, message))
        self._both(lambda store: store.stop_requested("t", message))

    @rule(scope=SCOPES, id_=IDS, alias=st.sampled_from(["x", "y"]), title=st.text(max_size=3))
    def rename(self, scope: Scope, id_: ConversationId, alias: str, title: str) -> None:
        self._both(lambda store: store.rename(scope, id_, title))
        self._both(lambda store: store.find_alias(scope, alias))

    @rule(tenant=st.sampled_from(["t", "other"]), user=USERS)
    def see_user(self, tenant: str, user: str) -> None:
        self._both(lambda store: store.see_user(tenant, user))

    @rule(which=SMALL, first=SMALL, last=SMALL)
    def messages(self, which: int, first: int, last: int) -> None:
        if self._known:
            conversation = self._known[-1 - which % len(self._known)]
            self._both(lambda store: store.messages(conversation, first=first, last=last))

    @rule(
        scope=SCOPES,
        user=USERS,
        limit=SMALL,
        offset=st.integers(0, 2),
        after=st.none() | IDS,
        newest_first=st.booleans(),
    )
    def list(self, scope: Scope, user: str, **page: Any) -> None:
        self._both(lambda store: store.list_conversations(scope, user, **page))
        self._both(lambda store: store.count_conversations(scope, user))

    @rule(scope=SCOPES, id_=IDS)
    def delete(self, scope: Scope, id_: ConversationId) -> None:
        self._both(lambda store: store.delete(scope, id_))

    @rule(scope=SCOPES, which=SMALL, begin=st.booleans(), once=ONCES, hours=st.integers(0, 13))
    def completion(
        self, scope: Scope, which: int, once: Once | None, *, begin: bool, hours: int
    ) -> None:
        self._clock.advance(hours * 3600)
        if self._replies:
            reply = self._replies[which % len(self._replies)]
            # As in life: a completion's number is odd, and a reply's in a conversation even.
            reply = replace(reply, id=MessageId(reply.id.conversation, 1))
            if begin:
                self._both(lambda store: store.begin_completions(scope, [reply], once=once))
            else:
                self._fake.tenant = scope.tenant
                record = self._fake.record(reply)
                self._both(lambda store: store.settle(finished(reply, "Hi!"), record))
            self._both(lambda store: store.get_completion(scope, reply.id))
            self._both(lambda store: store.request_stop(scope, reply.id))
            self._both(lambda store: store.stop_requested(scope.tenant, reply.id))


async def _checkpoints(store: ConversationStore, reply: MessageId, after: int) -> Any:
    return await store.checkpoints("t", reply, after=after)


async def _outcome(call: Callable[[Stores], Awaitable[Any]], stores: Stores) -> Any:
    try:
        return await call(stores)
    except Repeated as error:
        return type(error), error.done
    except ParleyError as error:
        return type(error), error.message, error.param


@pytest.mark.timeout(300)
def test_the_fake_answers_as_dynamodb_does() -> None:
    run_state_machine_as_test(
        BothStores,
        settings=settings(
            max_examples=16,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
