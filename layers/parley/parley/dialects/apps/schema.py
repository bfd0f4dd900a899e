"""Requests and replies of Dify's chat API: the keys of its early form beside those of today's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from parley.dialects.fields import Identifier, ShortText, Text

Reference = Annotated[Text, Field(max_length=128)]
"""The id of something; an empty one names nothing."""

Inputs = dict[str, Text | int | float | bool | list[Any] | dict[str, Any] | None]
"""Values by variable; only text and numbers can fill a field."""


def _or(default: Any) -> BeforeValidator:
    """Read null as if the field weren't there: clients send what their caller left out so."""
    return BeforeValidator(lambda given: default if given is None else given)


class ChatBody(BaseModel):
    """POST /ai/v1/chat-messages."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": {},
                    "query": "eh",
                    "response_mode": "streaming",
                    "conversation_id": "",
                    "user": "abc-123",
                }
            ]
        }
    )

    inputs: Inputs | None = None
    query: Annotated[Text, Field(min_length=1)]
    response_mode: Literal["blocking", "streaming"] | None = "blocking"
    conversation_id: Reference | None = None
    user: Identifier
    files: Annotated[list[Any], Field(max_length=0)] | None = None
    """Files can't be read by any model here, so there must be none."""
    auto_generate_name: Annotated[bool, _or(default=True)] = True


class UserBody(BaseModel):
    """Who asks, where that is all there is to say."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user": "abc-123"}]})

    user: Identifier


class OptionalUserBody(BaseModel):
    """Who asks, where the credential may have said it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user": "abc-123"}]})

    user: Identifier | None = None


class FeedbackBody(UserBody):
    """POST /ai/v1/messages/{message_id}/feedbacks."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"rating": "like", "user": "abc-123"}]}
    )

    rating: Literal["like", "dislike"] | None = None


class RenameBody(OptionalUserBody):
    """POST /ai/v1/conversations/{conversation_id}/name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Coffee ceremony", "user": "abc-123"}],
            "anyOf": [
                {"required": ["name"], "properties": {"name": {"type": "string"}}},
                {"required": ["auto_generate"], "properties": {"auto_generate": {"const": True}}},
            ],
        }
    )

    name: ShortText | None = None
    auto_generate: Annotated[bool, _or(default=False)] = False


class UsageOut(BaseModel):
    """What a reply took: tokens as the model counted them, and no price."""

    prompt_tokens: int
    prompt_unit_price: str = "0"
    prompt_price_unit: str = "0"
    prompt_price: str = "0"
    completion_tokens: int
    completion_unit_price: str = "0"
    completion_price_unit: str = "0"
    completion_price: str = "0"
    total_tokens: int
    total_price: str = "0"
    currency: str = "USD"
    latency: float
    """Seconds from when the question was stored to the end of the reply."""


class MetadataOut(BaseModel):
    """What there is to know of a reply besides its text."""

    usage: UsageOut
    retriever_resources: list[dict[str, Any]] = []


class EndedOut(BaseModel):
    """How a reply ended, for which Dify has no words."""

    reply_status: str
    """`completed` or `stopped`; in history `pending`, `failed` and `interrupted`, too."""
    finish_reason: str | None
    """Why the model ended it: `stop`, `length` …; null where it didn't."""


class AnswerOut(EndedOut):
    """A whole reply."""

    event: Literal["message"] = "message"
    task_id: str
    id: str
    message_id: str
    conversation_id: str
    mode: Literal["chat"] = "chat"
    answer: str
    metadata: MetadataOut
    created_at: int


class ResultOut(BaseModel):
    """It is done."""

    result: Literal["success"] = "success"


class RatingOut(BaseModel):
    """What the user thinks of an answer."""

    rating: str


class _ExchangeOut(BaseModel):
    id: str
    conversation_id: str
    inputs: dict[str, Any]
    query: str
    answer: str
    created_at: int


class MessageOut(_ExchangeOut, EndedOut):
    """A question with its answer."""

    parent_message_id: str | None
    status: Literal["normal", "error"]
    error: str | None
    message_files: list[dict[str, Any]] = []
    feedback: RatingOut | None
    retriever_resources: list[dict[str, Any]] = []
    agent_thoughts: list[dict[str, Any]] = []
    extra_contents: list[dict[str, Any]] = []
    message_tokens: int
    answer_tokens: int
    total_tokens: int
    username: str
    """Of the early form: the user's id. No profile is kept, so the next three are null."""
    phone_number: None = None
    avatar_url: None = None
    display_name: None = None


class MessagesOut(BaseModel):
    """A page of a conversation's messages, in order of time."""

    limit: int
    has_more: bool
    data: list[MessageOut]


class RatedOut(_ExchangeOut):
    """A message with the user's opinion of it, as the early form shows it."""

    feedback: str | None


class FeedbackOut(ResultOut):
    """It is done; the early form shows the message beside."""

    has_more: Literal[False] = False
    data: list[RatedOut]


class ConversationOut(BaseModel):
    """A conversation."""

    id: str
    name: str
    inputs: dict[str, Any]
    status: Literal["normal"] = "normal"
    introduction: str
    created_at: int
    updated_at: int


class RenamedOut(ResultOut, ConversationOut):
    """It is done; today's form shows the conversation."""


class ConversationsOut(BaseModel):
    """Some of a user's conversations."""

    limit: int
    has_more: bool
    data: list[ConversationOut]


class SuggestedOut(ResultOut):
    """What the user could ask next."""

    data: list[str]


class SwitchOut(BaseModel):
    """Whether the app has something."""

    enabled: bool = False


class SpeechOut(SwitchOut):
    """Reading aloud, which no app does."""

    voice: str = ""
    language: str = ""
    autoPlay: str = "disabled"  # noqa: N815 - the API's own name


class ImageUploadOut(SwitchOut):
    """Pictures from the user, which no app takes."""

    number_limits: int = 0
    detail: str = "high"
    transfer_methods: list[str] = []


class UploadOut(BaseModel):
    """Files from the user, which no app takes."""

    image: ImageUploadOut = ImageUploadOut()


class SystemOut(BaseModel):
    """How large a file may be, in megabytes."""

    file_size_limit: int = 0
    image_file_size_limit: int = 0
    audio_file_size_limit: int = 0
    video_file_size_limit: int = 0
    workflow_file_upload_limit: int = 0


class FieldOut(BaseModel):
    """A field of the form."""

    label: str
    variable: str
    required: bool
    default: str
    max_length: int | None = None
    options: list[str] | None = None


class ParametersOut(BaseModel):
    """What a client needs to show the app."""

    opening_statement: str
    suggested_questions: list[str]
    suggested_questions_after_answer: SwitchOut
    speech_to_text: SwitchOut = SwitchOut()
    text_to_speech: SpeechOut = SpeechOut()
    retriever_resource: SwitchOut = SwitchOut()
    annotation_reply: SwitchOut = SwitchOut()
    more_like_this: SwitchOut = SwitchOut()
    sensitive_word_avoidance: SwitchOut = SwitchOut()
    user_input_form: list[dict[str, FieldOut]]
    """Each field under the name of its kind."""
    file_upload: UploadOut = UploadOut()
    system_parameters: SystemOut = SystemOut()


class InfoOut(BaseModel):
    """What the app is."""

    name: str
    description: str
    tags: list[str]
    mode: Literal["chat"] = "chat"
    author_name: str


class MetaOut(BaseModel):
    """Pictures of the app's tools, of which it has none."""

    tool_icons: dict[str, Any] = {}
