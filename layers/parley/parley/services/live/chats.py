"""Live chats as their connections use them."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from parley.domain.conversations import Scope, Status
from parley.domain.errors import (
    ConnectionGone,
    InvalidRequest,
    MissingField,
    ParleyError,
    RateLimited,
    Unauthenticated,
)
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Once
from parley.domain.sockets import (
    BEGINNING,
    Answer,
    Connection,
    ErrorOccurred,
    Greet,
    Job,
    MessageReceived,
    Refuse,
    UserCreated,
)
from parley.domain.tenants import UNLIMITED, Caller, TenantSuspended
from parley.ports import (
    Clock,
    Connections,
    ConversationStore,
    Counter,
    Directory,
    EventLog,
    Ids,
    Sockets,
    Workers,
)
from parley.services.credentials import SUSPENDED, Credentials
from parley.services.live.admission import HANDSHAKE, Admission
from parley.services.live.courier import Courier
from parley.services.live.replies import Replies
from parley.services.live.wire import TEXT_BYTES, Said, Wire, size
from parley.services.turns import Turns
from parley.telemetry import spans, work

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

SCOPE = "tenant"
"""What an API key has to be for; live chats belong to this API."""

_POSITION_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What a client asks for when it connects."""

    connection: str
    credential: str | None
    user: str | None
    chat: str | None
    last_seen: str | None = None
    """The position of the last event an earlier connection was told, as text."""


class LiveChats:
    """Opens and closes connections, takes what they say, and does what that leaves to do."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        directory: Directory,
        store: ConversationStore,
        turns: Turns,
        counter: Counter,
        events: EventLog,
        connections: Connections,
        sockets: Sockets,
        workers: Workers,
        wire: Wire,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._credentials = credentials
        self._directory = directory
        self._store = store
        self._turns = turns
        self._counter = counter
        self._events = events
        self._connections = connections
        self._sockets = sockets
        self._workers = workers
        self._wire = wire
        self._clock = clock
        self._admission = Admission(connections, events, sockets, counter, clock)
        self._courier = Courier(
            events=events,
            connections=connections,
            sockets=sockets,
            admission=self._admission,
            wire=wire,
            clock=clock,
            ids=ids,
        )
        self._replies = Replies(
            turns=turns, store=store, events=events, courier=self._courier, wire=wire, clock=clock
        )

    # What a connection does -------------------------------------------------------------------

    async def open(self, handshake: Handshake) -> Connection:
        """Let a client in; it is greeted once its handshake has ended.

        Raises:
            Unauthenticated, Forbidden: the credential isn't valid, or not for this API or user.
            InvalidRequest: a parameter is missing or can't be read; `param` names it.
            NotFound: the user has no such chat.
            TooManyConnections: the tenant has no slot left.
        """
        caller = await self._credentials.authenticate(handshake.credential)
        caller.check_scope(SCOPE)
        spans.bind(tenant=caller.tenant.id, key_id=caller.key_id)
        user = caller.owner(_needed(handshake.user, "user_id"))
        chat = ConversationId.parse(_needed(handshake.chat, "chat_id"))
        last_seen = _position(handshake.last_seen)
        head = await self._store.get(Scope(caller.tenant.id, user), chat)
        slot = await self._admission.take_slot(caller.tenant, handshake.connection)
        connection = Connection(
            id=handshake.connection,
            tenant=caller.tenant.id,
            conversation=head.id,
            user=head.user,
            key_id=caller.key_id,
            kind=caller.kind,
            token_user=caller.user,
            slot=slot,
            cursor=BEGINNING,
            opened_at=self._clock.now(),
        )
        try:
            return await self._register(connection, last_seen)
        except ParleyError:
            await self._admission.leave(connection)
            raise

    async def refuse(self, connection: str, error: ParleyError) -> None:
        """Have a client whose handshake succeeds all the same told why it can't stay."""
        await self._workers.start(Refuse(connection, self._wire.describe(error)))

    async def receive(self, connection_id: str, frame: str) -> None:
        """Take a message; whatever is wrong with it, its sender is told so and stays connected."""
        connection = await self._connections.find(connection_id)
        if connection is None:
            error = Unauthenticated("This connection isn't established. Please connect again.")
            await self._post(connection_id, self._refusal(self._wire.describe(error)))
            return
        try:
            await self._take(connection, frame)
        except ParleyError as error:
            await self._tell(connection, error)

    async def apologize(self, connection_id: str, error: ParleyError) -> None:
        """Tell a client that something failed, with nothing else than its connection's id."""
        work.failed(error.code, is_limit=isinstance(error, RateLimited))
        await self._post(connection_id, self._refusal(self._wire.describe(error)))

    async def close(self, connection_id: str) -> None:
        """Forget a connection that has ended; replies to it go on."""
        connection = await self._connections.find(connection_id)
        if connection is not None:
            await self._admission.leave(connection)

    # What that leaves to do -------------------------------------------------------------------

    async def perform(self, job: Job) -> None:
        """Do a job."""
        match job:
            case Greet():
                await self._greet(job)
            case Refuse(connection, error):
                if await self._post_when_open(connection, self._refusal(error)):
                    await self._sockets.close(connection)
            case Answer(connection):
                caller = await self._caller(connection, proven=True)
                if not await self._replies.answer(caller, job):
                    # Lambda may do a job twice, and a client say again what nobody lived to answer.
                    await self._replies.end_dead(connection.chat)
                    await self._replies.end_untold(job)
                    await self._deliver(connection)
            case _:
                assert_never(job)

    # Parts of the above -------------------------------------------------------------------------

    async def _register(self, connection: Connection, last_seen: int | None) -> Connection:
        # Here and not when it is greeted: it may speak before, and is told what becomes of it.
        newest = await self._events.newest(connection.chat)
        cursor = newest if last_seen is None else min(last_seen, newest)
        resumed = last_seen is not None and await self._events.has(connection.chat, last_seen)
        connection = replace(connection, cursor=cursor)
        await self._connections.register(connection)
        await self._workers.start(Greet(connection, resumed))
        return connection

    async def _take(self, connection: Connection, frame: str) -> None:
        spans.bind(tenant=connection.tenant, key_id=connection.key_id)
        caller = await self._caller(connection)
        await self._admit(caller, connection)
        said = self._wire.read(frame)
        try:
            message, reply, again = await self._turns.accept(
                caller,
                connection.conversation,
                dialect=self._wire.name,
                text=said.text,
                once=_once(connection, said),
            )
        except ParleyError as error:
            await self._tell(connection, error, client_id=said.client_id)
            return
        text = said.text if size(said.text) <= TEXT_BYTES else None
        await self._events.append(
            connection.chat,
            MessageReceived(message.id, text, said.client_id, to=connection.id if again else None),
            at=self._clock.now(),
        )
        # Said again, it may be that nobody was told to answer, or nobody has lived to tell the end.
        if again or reply.status is Status.PENDING:
            try:
                await self._workers.start(Answer(connection, reply.id))
            except ParleyError as error:
                await self._tell(connection, error, message=reply.id, client_id=said.client_id)
                return
        await self._deliver(connection)

    async def _admit(self, caller: Caller, connection: Connection) -> None:
        limit = caller.tenant.limits.messages_per_second
        admitted, _, resets_in = await self._counter.admit(
            f"{connection.tenant}#messages#{connection.id}", limit=limit, window=1
        )
        if not admitted:
            raise RateLimited(
                f"The limit of {limit} messages a second is reached. The message wasn't taken.",
                retry_after=resets_in,
            )

    async def _caller(self, connection: Connection, *, proven: bool = False) -> Caller:
        """The caller who has opened a connection.

        Args:
            proven: what is asked for was admitted before, so it doesn't matter any more whether
                the key has been revoked since.

        Raises:
            Unauthenticated: the key has been revoked, or has expired.
            TenantSuspended: its tenant has been suspended.
        """
        tenant, key = await asyncio.gather(
            self._directory.get_tenant(connection.tenant),
            self._directory.get_key(connection.tenant, connection.key_id),
        )
        is_valid = key is not None and key.is_valid(self._clock.now())
        if tenant is None or not (proven or (is_valid and tenant.deleted_at is None)):
            raise Unauthenticated("The credential of this connection isn't valid any more.")
        if tenant.suspended_at is not None and not proven:
            raise TenantSuspended(SUSPENDED)
        return Caller(
            tenant,
            connection.key_id,
            connection.kind,
            connection.token_user,
            limits=key.limits if key else UNLIMITED,
        )

    async def _tell(
        self,
        connection: Connection,
        error: ParleyError,
        *,
        message: MessageId | None = None,
        client_id: str | None = None,
    ) -> None:
        """Tell one connection of an error, in order with all else that it is told."""
        work.failed(error.code, is_limit=isinstance(error, RateLimited))
        event = ErrorOccurred(self._wire.describe(error), message, client_id, to=connection.id)
        await self._events.append(connection.chat, event, at=self._clock.now())
        await self._deliver(connection)

    async def _deliver(self, connection: Connection) -> None:
        """Tell what has happened now; what can't be told now comes with what happens next."""
        try:
            await self._courier.deliver(connection.chat)
        except ParleyError as error:
            log.warning("events can't be told right now: %s", error.code)

    async def _greet(self, job: Greet) -> None:
        connection = job.connection
        frame = self._wire.established(connection, self._clock.now(), resumed=job.resumed)
        if not await self._post_when_open(connection.id, frame, registered=True):
            await self._admission.leave(connection)
            return
        await self._events.subscribe(connection)
        await self._replies.end_dead(connection.chat)
        if await self._store.see_user(connection.tenant, connection.user):
            event = UserCreated(connection.user)
            await self._events.append(connection.chat, event, at=self._clock.now())
        await self._deliver(connection)

    async def _post_when_open(
        self, connection: str, frame: str, *, registered: bool = False
    ) -> bool:
        """Send a frame as soon as the handshake has ended; False where the client is gone.

        Args:
            registered: whether to give up once the connection isn't registered any more.
        """
        gives_up = self._clock.monotonic() + HANDSHAKE.total_seconds()
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._sockets.post(connection, frame)
            except ConnectionGone:
                if self._clock.monotonic() >= gives_up:
                    return False
                if registered and await self._connections.find(connection) is None:
                    return False
            else:
                return True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _post(self, connection: str, frame: str) -> None:
        try:
            await self._sockets.post(connection, frame)
        except ConnectionGone:
            log.info("nobody is left to be told of an error")

    def _refusal(self, error: Mapping[str, Any]) -> str:
        return self._wire.refused(error, self._clock.now())


def _once(connection: Connection, said: Said) -> Once | None:
    """What recognises a message that is said again: the client's own id of it, in its chat."""
    if said.client_id is None:
        return None
    name = "\0".join(["socket", str(connection.conversation), connection.user, said.client_id])
    return Once(
        tenant=connection.tenant,
        name=hashlib.sha256(name.encode()).hexdigest(),
        fingerprint=hashlib.sha256(said.text.encode()).hexdigest(),
    )


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise MissingField(f"The parameter {name} is missing.", param=name)
    return value


def _position(text: str | None) -> int | None:
    """A position that a client names; None where it names none."""
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _POSITION_DIGITS:
        raise InvalidRequest("last_seq: must be the seq of an event.", param="last_seq")
    return int(text)
