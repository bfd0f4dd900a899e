"""The demo tenant's app, and the conversation that the example requests of Dify's API continue."""

from datetime import UTC, datetime

from parley.adapters.system import RandomIds
from parley.domain.apps import App, InputField, InputKind, fill
from parley.domain.conversations import Conversation, Parameters, Scope
from parley.ports import ConversationStore

_FORM = (
    InputField(
        variable="book", label="Book", default="a book of the reader's choice", max_length=100
    ),
    InputField(variable="myName", label="Your name", default="the reader", max_length=48),
    InputField(
        variable="style",
        label="Style",
        kind=InputKind.SELECT,
        options=("plain", "lively"),
        default="plain",
    ),
)

DEMO_APP = App(
    name="Reading circle",
    description="Talks about books.",
    author="Parley",
    tags=("books",),
    prompt_template="You talk with {{ myName }} about {{ book }}, in a {{ style }} style.",
    form=_FORM,
    opening_statement="Hello! What would you like to know about {{ book }}?",
    suggested_questions=("What is it about?", "Who wrote it?"),
    suggests_after_answer=True,
    parameters=Parameters(max_tokens=128),
)

CONFORMANCE_APP = App(
    name="Conformance",
    prompt_template=DEMO_APP.prompt_template,
    form=_FORM,
    suggests_after_answer=True,
    model="scripted",
)
"""The same over the scripted model."""

_TENANT, _USER = "demo", "abc-123"
_ALIAS = "1c7e55fb-1ba2-4e10-81b5-30addcea2276"


async def seed_conversation(store: ConversationStore) -> None:
    """Begin the conversation of the examples, unless it is there."""
    if await store.find_alias(Scope(_TENANT), _ALIAS) is not None:
        return
    now = datetime.now(UTC)
    inputs = DEMO_APP.read_inputs({"book": "book", "myName": "Lucy"})
    await store.create(
        Conversation(
            id=RandomIds().conversation(),
            tenant=_TENANT,
            user=_USER,
            created_at=now,
            updated_at=now,
            system_prompt=fill(DEMO_APP.prompt_template, inputs),
            parameters=DEMO_APP.parameters,
            inputs=inputs,
            alias=_ALIAS,
        )
    )
