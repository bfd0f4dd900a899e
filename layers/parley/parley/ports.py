"""What the services need from the world, as protocols.

Each has a real adapter and a fake under `adapters/`, and one contract suite in `tests/` that both
pass. Adapters raise domain errors only.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from datetime import date, datetime
from typing import Protocol

from parley.domain.apps import App
from parley.domain.catalogue import Catalogue, CatalogueHead
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import Conversation, Message, Origin, Page, Rating, Scope
from parley.domain.holds import Account, Balance
from parley.domain.ids import ConversationId, MessageId
from parley.domain.once import Answer, Done, Once
from parley.domain.personas import Persona, PersonaVersion
from parley.domain.routes import ModelRoute
from parley.domain.sockets import (
    BEGINNING,
    ChatEvent,
    ChatRef,
    Connection,
    Entry,
    Job,
    Reader,
    Slot,
)
from parley.domain.tenants import ApiKey, Tenant
from parley.domain.tools import ToolResult
from parley.domain.turns import Checkpoint, CompletionRequest, ModelEvent, UsageRecord
from parley.domain.usage import Labels, Rollup, Sums


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """The current time, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...


class Ids(Protocol):
    """The only source of chance."""

    def conversation(self) -> ConversationId:
        """A random conversation id; the store refuses one that is taken."""
        ...

    def secret(self) -> str:
        """256 random bits as URL-safe text."""
        ...


class ConversationStore(Protocol):
    """Conversations, their messages and the turns that make them.

    Every read sees every write that was acknowledged before it. Whatever lies outside `scope`
    doesn't exist. All operations raise `StoreUnavailable` when the store can't answer.
    """

    async def create(self, conversation: Conversation, *, once: Once | None = None) -> None:
        """Keep a new conversation; with `once`, and that it is what this request began.

        Raises:
            Repeated: the request has begun a conversation before, or was another one.
            Conflict: its id is taken within the tenant.
        """
        ...

    async def get(self, scope: Scope, conversation: ConversationId) -> Conversation:
        """Read a conversation's head.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def get_with_newest(
        self, scope: Scope, conversation: ConversationId, limit: int
    ) -> tuple[Conversation, tuple[Message, ...]]:
        """Read a conversation's head and its newest `limit` messages, oldest first, in one trip.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def list_conversations(
        self,
        scope: Scope,
        user: str,
        *,
        limit: int,
        after: ConversationId | None = None,
        offset: int = 0,
        newest_first: bool = True,
    ) -> Page[Conversation]:
        """List a user's conversations in order of creation.

        Args:
            after: begin behind this conversation.
            offset: then skip so many.

        Raises:
            NotFound: `after` isn't a conversation of this user.
        """
        ...

    async def count_conversations(self, scope: Scope, user: str) -> int:
        """How many conversations a user has."""
        ...

    async def delete(self, scope: Scope, conversation: ConversationId) -> None:
        """Remove a conversation with all its messages, however many.

        It is invisible from the first write on; when interrupted, repeating the call ends the work.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def messages(
        self, conversation: Conversation, *, first: int, last: int
    ) -> tuple[Message, ...]:
        """Read the messages numbered `first` to `last` inclusive, ascending; a key range."""
        ...

    async def get_message(self, scope: Scope, message: MessageId) -> tuple[Conversation, Message]:
        """Read one message and its conversation's head, in one trip.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def unfinished_deletions(self, scope: Scope, user: str) -> tuple[ConversationId, ...]:
        """Those of a user's conversations whose deletion has begun and not ended.

        Nobody else sees them any more; `delete` ends the work.
        """
        ...

    async def find_alias(self, scope: Scope, alias: str) -> ConversationId | None:
        """The conversation that another system knew under this id; None where there is none.

        An alias is unique within its tenant; `create` raises `Conflict` for one that is taken.
        """
        ...

    async def rename(self, scope: Scope, conversation: ConversationId, title: str) -> None:
        """Give a conversation another title.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def rate(self, scope: Scope, message: MessageId, rating: Rating | None) -> None:
        """Note a user's opinion of a reply, or take it back.

        Raises:
            NotFound: there is no such reply in scope.
        """
        ...

    async def see_user(self, tenant: str, user: str) -> bool:
        """Note that a user was seen; True the first time, once, however many ask at once."""
        ...

    async def forget_user(self, tenant: str, user: str) -> None:
        """Forget that a user was seen."""
        ...

    async def append_turn(
        self,
        conversation: Conversation,
        *,
        text: str,
        model: str,
        at: datetime,
        product_ids: tuple[int, ...] = (),
        tool_results: tuple[ToolResult, ...] = (),
        origin: Origin | None = None,
        once: Once | None = None,
        alone: bool = False,
    ) -> tuple[Message, Message]:
        """Append a user's message and a pending reply to it, and number them, all or nothing.

        They get the next two sequence numbers, gap-free and adjacent, however many callers append
        at once; `conversation` may be older than the store's, that only costs another try.

        Args:
            product_ids: the products found for the reply, kept with it.
            tool_results: make it a tool's message instead, and `text` is empty. They answer what
                was said last, so then `conversation` must be as the store's.
            origin: who asks, kept with the reply; what it holds is taken of the tenant's accounts.
            once: the request; that it began this turn is noted with it.
            alone: refuse where something was said since `conversation`.

        Returns:
            The user's message and the pending reply.

        Raises:
            Repeated: the request has begun a turn or was answered before, or was another one.
            TurnInProgress: it was to be alone, and isn't.
            Conflict: there are tool results, and something was said since `conversation`.
            NoRoom: an account has no room for what the turn would hold.
            NotFound: the conversation has been deleted.
            ConversationFull: there is no number left.
        """
        ...

    async def begin_completions(
        self, scope: Scope, replies: Sequence[Message], *, once: Once | None = None
    ) -> None:
        """Keep the pending replies of stateless completions for a day, all or nothing.

        Args:
            replies: their ids are those of completions; at least one. What they hold is taken.
            once: the request; that it began these turns is noted with them.

        Raises:
            Repeated: the request has begun turns or was answered before, or was another one.
            NoRoom: an account has no room for what they would hold.
            Conflict: one of the ids is taken.
        """
        ...

    async def request_stop(self, scope: Scope, reply: MessageId) -> None:
        """Ask whoever runs this turn to stop it; a turn that has ended is left as it is.

        Args:
            reply: of a conversation, or a stateless completion's.

        Raises:
            NotFound: there is no such reply in scope.
        """
        ...

    async def stop_requested(self, tenant: str, reply: MessageId) -> bool:
        """Whether whoever runs this turn is to end it.

        Someone asked for it, or the turn has been settled by another, or its reply is gone.
        """
        ...

    async def checkpoint(self, tenant: str, reply: MessageId, checkpoint: Checkpoint) -> None:
        """Keep what a reply grew by, for `JOURNAL_LIFETIME` at most; repeating it changes nothing.

        It goes with its conversation.
        """
        ...

    async def checkpoints(
        self, tenant: str, reply: MessageId, *, after: int = 0
    ) -> tuple[Checkpoint, ...]:
        """Read what a reply has grown by, in order, signs of life left out; costs what it returns.

        Args:
            after: leave out the checkpoints that lie within the first so many shown deltas; with 0,
                there are all of them.
        """
        ...

    async def last_sign(self, tenant: str, reply: MessageId) -> datetime | None:
        """When whoever runs this turn last kept something of it; None where it never did."""
        ...

    async def settle(
        self, reply: Message, record: UsageRecord, *, last: Checkpoint | None = None
    ) -> bool:
        """Replace a pending reply by its final form and write the ledger line, all or nothing.

        What the reply was begun with stays: its origin, products and the time of its beginning.
        What it holds is given back but for what the record says was used. Where it is gone with its
        conversation, or a completion's isn't there on the day it began, the line is written all the
        same, once, and names nobody.

        Args:
            last: what the reply grew by since the last checkpoint, kept with it.

        Returns:
            False, and nothing is changed, when the reply isn't pending any more.
        """
        ...

    async def holders(
        self, tenant: str, *, before: datetime
    ) -> tuple[tuple[MessageId, datetime], ...]:
        """Turns that were begun before a moment and hold something, and since when; oldest first.

        Those that hold tokens of a minute only aren't told.
        """
        ...

    async def release(self, tenant: str, turn: MessageId, *, since: datetime) -> bool:
        """Give back what a turn holds whose reply is gone; True once.

        A minute's tokens may stay taken until the turn is settled or the minute is over.
        """
        ...

    async def balance(self, tenant: str, account: Account) -> Balance:
        """How an account of a tenant stands."""
        ...

    async def get_completion(self, scope: Scope, completion: MessageId) -> Message:
        """Read a stateless completion's reply, for a day after it.

        Raises:
            NotFound: there is none in scope.
        """
        ...


class Requests(Protocol):
    """Requests that carry an idempotency key, remembered for a day.

    Those that begin conversations and turns are also noted by the store of these, in the same step.
    All operations raise `StoreUnavailable` when the store can't answer.
    """

    async def find(self, once: Once) -> Done | None:
        """What is known of this key, whatever request it came with; None where it is new."""
        ...

    async def hold(self, once: Once, *, until: datetime) -> Done | None:
        """Become the one who answers a request; where there is an answer, or one who does, that.

        Returns:
            None to the one; to the others what is known of the key, whatever request it came with.
        """
        ...

    async def answered(self, once: Once, answer: Answer) -> None:
        """Keep what a request was answered with; for those who hold it."""
        ...

    async def release(self, once: Once) -> None:
        """Forget that a request was held, unless it began something or was answered."""
        ...


class CompletionStore(Protocol):
    """Completions that their callers asked to keep, until they remove them.

    Every read sees every write that was acknowledged before it. Whatever lies outside `scope`
    doesn't exist. All operations raise `StoreUnavailable` when the store can't answer.
    """

    async def keep(self, completion: StoredCompletion) -> None:
        """Keep a completion.

        Raises:
            Conflict: its id is taken within the tenant.
        """
        ...

    async def get(self, scope: Scope, completion: MessageId) -> StoredCompletion:
        """Read a completion.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def list(
        self,
        scope: Scope,
        *,
        limit: int,
        after: MessageId | None,
        newest_first: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> Page[StoredCompletion]:
        """List completions in order of creation.

        Args:
            limit: at least 1.
            after: begin behind this one.
            model: only those of this model; None takes all.
            metadata: only those that have all of this among theirs.

        Raises:
            NotFound: `after` isn't in scope.
        """
        ...

    async def label(
        self, scope: Scope, completion: MessageId, metadata: Mapping[str, str]
    ) -> StoredCompletion:
        """Replace a completion's metadata; returns it as it is then.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def delete(self, scope: Scope, completion: MessageId) -> None:
        """Remove a completion; when interrupted, repeating the call ends the work.

        Raises:
            NotFound: there is none in scope.
        """
        ...

    async def forget_user(self, tenant: str, user: str, *, limit: int) -> int:
        """Remove at most `limit` of a user's completions; how many there were, 0 once all are gone.

        Among them are those whose removal was interrupted, which no list has any more.
        """
        ...


class Directory(Protocol):
    """Tenants and API keys: written by the operator, read at every request."""

    async def find_key(self, digest: str) -> ApiKey | None:
        """The key with this digest, revoked or not, in one read; None where there is none."""
        ...

    async def get_key(self, tenant: str, key_id: str) -> ApiKey | None:
        """A tenant's key by its id, revoked or not, in one read; None where there is none."""
        ...

    async def get_tenant(self, tenant: str) -> Tenant | None:
        """The tenant of this id; None where there is none."""
        ...

    async def list_tenants(self) -> tuple[Tenant, ...]:
        """All tenants, by id."""
        ...

    async def put_tenant(self, tenant: Tenant) -> None:
        """Create or replace a tenant."""
        ...

    async def create_tenant(self, tenant: Tenant) -> None:
        """Keep a new tenant.

        Raises:
            Conflict: there is one of this id.
        """
        ...

    async def change_tenant(self, tenant: Tenant) -> None:
        """Replace a tenant.

        Raises:
            Conflict: it was changed by another: what is stored isn't of the revision before.
        """
        ...

    async def remove_tenant(self, tenant: str) -> None:
        """Remove the record of a tenant that is being removed, and nothing else of it.

        Nothing happens to one that isn't: it is another of the same name.
        """
        ...

    async def list_keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys by time of creation, revoked ones included."""
        ...

    async def put_key(self, key: ApiKey) -> None:
        """Create or replace a key."""
        ...

    async def change_key(self, key: ApiKey, *, successor: ApiKey | None = None) -> None:
        """Replace a key, and keep the new one that was made in its place; both or neither.

        Raises:
            Conflict: it was changed by another: what is stored isn't of the revision before.
        """
        ...

    async def get_app(self, tenant: str) -> App | None:
        """The tenant's app; None where it has none."""
        ...

    async def put_app(self, tenant: str, app: App) -> None:
        """Create or replace a tenant's app."""
        ...


class Ledger(Protocol):
    """The usage of every tenant, a line for each settled turn, by days in UTC.

    All operations raise `StoreUnavailable` when the store can't answer.
    """

    def lines(self, tenant: str, day: date) -> AsyncIterator[Sequence[UsageRecord]]:
        """All lines of a tenant's day, in no order, some thousands at a time."""
        ...

    async def forget_user(self, tenant: str, user: str, day: date) -> int:
        """Take a user's name out of a day's lines, which are `FORGOTTEN`'s then; how many.

        What was kept of the day's sums is dropped where the user is in them.
        """
        ...

    async def rollups(self, tenant: str, first: date, last: date) -> Mapping[date, Rollup]:
        """What is kept of a tenant's days, both ends included."""
        ...

    async def keep(
        self, tenant: str, day: date, sums: Mapping[Labels, Sums], *, version: int
    ) -> None:
        """Keep the sums of a day to which no line is added any more.

        Nothing is kept where lines were changed since the version that was read before they were.
        """
        ...


class Erasure(Protocol):
    """Removes what belongs to somebody from wherever it is.

    Work that was interrupted is ended by repeating the call. All operations raise
    `StoreUnavailable` when the store can't answer.
    """

    async def erase_tenant(self, tenant: str, *, progress: Callable[[int], None]) -> None:
        """Remove every item of a tenant from every table, but for its own record.

        What is written meanwhile may stay.

        Args:
            progress: told how many more items have been removed.
        """
        ...

    async def erase_passing(
        self,
        tenant: str,
        user: str,
        *,
        conversations: Collection[ConversationId],
    ) -> None:
        """Remove what of a user is kept for a day only.

        That is replies of stateless completions, requests that began conversations or turns,
        connections and chats' logs.

        Args:
            conversations: those that were the user's.
        """
        ...


class PersonaStore(Protocol):
    """Personas and their submitted versions: written by the operator, read when one is selected."""

    async def create_persona(self, persona: Persona) -> None:
        """Keep a new persona.

        Raises:
            Conflict: its id or its alias is taken within the tenant.
        """
        ...

    async def get_persona(self, tenant: str, persona_id: int) -> Persona | None:
        """A persona with its work in progress; None where there is none."""
        ...

    async def find_persona(self, tenant: str, alias: str) -> tuple[int, int] | None:
        """The id of the persona with this alias and the number of its newest submitted version.

        The number is 0 before the first was submitted; None where there is no such persona.
        """
        ...

    async def list_personas(self, tenant: str) -> tuple[Persona, ...]:
        """All personas of a tenant, by id."""
        ...

    async def change_persona(self, persona: Persona, version: PersonaVersion | None = None) -> None:
        """Replace a persona, and keep the version that was just submitted, all or nothing.

        Raises:
            Conflict: it was changed by another: what is stored isn't of the revision before.
        """
        ...

    async def get_persona_version(
        self, tenant: str, persona_id: int, number: int
    ) -> PersonaVersion | None:
        """A submitted version; None where there is none."""
        ...


class Counter(Protocol):
    """Counts events in windows of time, exactly, across every function instance."""

    async def admit(self, name: str, *, limit: int, window: int) -> tuple[bool, int, float]:
        """Count one event unless `limit` have been counted in this window of `window` seconds.

        Returns:
            Whether it was admitted, how many more would be, and the seconds until the window ends.
        """
        ...


class Model(Protocol):
    """One back end that completes conversations."""

    context_window: int
    """Tokens of prompt and reply together."""

    def check(self, request: CompletionRequest) -> None:
        """Refuse what this back end can't do, before anything is stored or spent.

        Raises:
            InvalidRequest: `param` names the request's field, as OpenAI calls it.
        """
        ...

    def complete(self, request: CompletionRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield `Accepted` first, then deltas, then one `Completed`, and end.

        A call that ends without `Completed` has failed by raising; it never just stops. Closing the
        iterator (or cancelling the task that iterates it) cancels the call within 100 ms.

        Raises:
            InvalidRequest: the model can't do what `parameters` ask; `param` names it.
            ContextTooLong: the prompt doesn't fit.
            ModelUnavailable, ModelThrottled, ModelError: the back end failed.
        """
        ...


class Models(Protocol):
    """The back ends this deployment carries."""

    def serving(self, route: ModelRoute) -> Model:
        """The back end that a route leads to, made when it is first needed.

        Raises:
            ModelUnavailable: this deployment doesn't carry it.
        """
        ...


class Secrets(Protocol):
    """Secrets of the deployment."""

    async def get(self, name: str) -> str:
        """The secret's current text, cached for minutes.

        Raises:
            StoreUnavailable: it can't be read.
        """
        ...


class SecretVault(Secrets, Protocol):
    """Secrets as an operator has them; no function may write any."""

    async def put(self, name: str, text: str) -> None:
        """Create or replace a secret.

        Raises:
            StoreUnavailable: it can't be written.
        """
        ...


class EventLog(Protocol):
    """What happens in each chat, in one order, for a day; and which connections are told of it.

    Positions rise for as long as there is the chat, also beyond that day.
    """

    async def newest(self, chat: ChatRef) -> int:
        """The position of the newest entry; `BEGINNING` where there is none."""
        ...

    async def append(
        self, chat: ChatRef, event: ChatEvent, *, at: datetime, behind: int = BEGINNING
    ) -> Entry:
        """Append an event behind all others, however many append at once.

        Args:
            behind: the newest position the caller knows of; an older one only costs another try.
        """
        ...

    async def read(
        self, chat: ChatRef, *, after: int | None, limit: int
    ) -> tuple[tuple[Entry, ...], tuple[Reader, ...]]:
        """The first `limit` entries behind a position, and all of the chat's readers.

        Args:
            after: None reads no entries.
        """
        ...

    async def has(self, chat: ChatRef, position: int) -> bool:
        """Whether the entry at a position can still be read."""
        ...

    async def subscribe(self, connection: Connection) -> None:
        """Make a connection a reader of its chat from its cursor on."""
        ...

    async def advance(self, chat: ChatRef, connection: str, cursor: int) -> None:
        """Note how far a reader has been told; nothing happens to one ahead of that, or gone."""
        ...

    async def unsubscribe(self, chat: ChatRef, connection: str) -> None:
        """Make a connection a reader no longer."""
        ...

    async def lease(self, chat: ChatRef, courier: str, *, until: datetime) -> bool:
        """Become the one who tells a chat's readers, or stay it; False while another is."""
        ...

    async def release(self, chat: ChatRef, courier: str) -> None:
        """Let another become the one; nothing happens where another is it already."""
        ...

    async def claim(self, tenant: str, turn: MessageId, *, ends: bool = False) -> bool:
        """Become the one who answers an accepted message; False where there is one.

        Args:
            ends: become the one who tells that nobody answers it any more instead.
        """
        ...


class Connections(Protocol):
    """The connections that are open, and the slots of a tenant that they take."""

    async def take_slot(
        self, tenant: str, connection: str, *, limit: int, at: datetime
    ) -> int | None:
        """Take one of a tenant's slots, exactly `limit` of which there are; None if all are taken.

        A slot that isn't freed is free again when no connection can live any longer.
        """
        ...

    async def slots(self, tenant: str) -> tuple[Slot, ...]:
        """The slots that are taken."""
        ...

    async def free_slot(self, tenant: str, number: int, connection: str) -> None:
        """Free a slot; nothing happens to one that another connection has."""
        ...

    async def register(self, connection: Connection) -> None:
        """Keep a connection for as long as it can live."""
        ...

    async def find(self, connection: str) -> Connection | None:
        """The connection of this id; None where there is none."""
        ...

    async def unregister(self, connection: str) -> None:
        """Forget a connection."""
        ...


class Sockets(Protocol):
    """The clients' ends of open connections."""

    async def post(self, connection: str, frame: str) -> None:
        """Send a text to a client.

        Raises:
            ConnectionGone: the connection isn't open.
            StoreUnavailable: nobody knows whether it was sent.
        """
        ...

    async def is_open(self, connection: str) -> bool:
        """Whether a client can be reached; not yet while its handshake lasts.

        Raises:
            StoreUnavailable: that can't be told right now.
        """
        ...

    async def close(self, connection: str) -> None:
        """End a connection, if it is open."""
        ...


class Workers(Protocol):
    """Those who do what takes longer than a request may."""

    async def start(self, job: Job) -> None:
        """Have a job done elsewhere; returns once that is certain to begin.

        Raises:
            StoreUnavailable: it isn't.
        """
        ...


class Errands(Protocol):
    """Those who do an operator's work that takes longer than a request may."""

    async def erase(self, tenant: str, user: str | None = None) -> None:
        """Have a tenant removed, or all that is stored of one of its users.

        Returns once that is certain to begin; it may be begun more than once.

        Raises:
            StoreUnavailable: it isn't.
        """
        ...


Vector = Sequence[float]
"""A point whose direction stands for what a text means."""


class Embedder(Protocol):
    """Turns texts into vectors whose directions are near where the meanings are, in any language.

    All operations raise `ModelUnavailable` where this deployment doesn't carry the model.
    """

    name: str
    """The model and its version; only vectors of one name can be compared."""
    leeway: float
    """How much nearer small talk may be to a question than a product that answers it.

    In cosines, measured for the model: two short questions are nearer to each other than a question
    and a description are.
    """

    async def query(self, text: str) -> Vector:
        """The vector of what somebody asks."""
        ...

    async def queries(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of many questions."""
        ...

    async def passages(self, texts: Sequence[str]) -> Sequence[Vector]:
        """The vectors of descriptions that questions are to find."""
        ...


class CatalogueStore(Protocol):
    """Every tenant's catalogue: replaced as a whole by the operator, read as a whole.

    All operations raise `StoreUnavailable` when the store can't answer.
    """

    async def head(self, tenant: str) -> CatalogueHead | None:
        """The version of a tenant's catalogue, in one read; None where there is none."""
        ...

    async def load(self, tenant: str) -> Catalogue | None:
        """A tenant's catalogue as it is now, never a mixture; None where there is none."""
        ...

    async def replace(self, tenant: str, catalogue: Catalogue) -> None:
        """Put a catalogue in place of the one there is, in one moment for all readers.

        What an interrupted call leaves behind is never read, and the next call removes it.

        Raises:
            Conflict: another call for this tenant has begun since; nothing was changed.
        """
        ...
