"""Requests and replies of Chat Completions, as far as they are understood here.

Unknown fields are ignored, since the SDKs send new ones every month; a known one that can't be
honoured is refused by name, since silence would be a lie.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from parley.dialects.fields import MAX_INTEGER, Identifier, Metadata, ShortText, Text, Unicode
from parley.domain.addresses import is_internal

MOST_CHOICES = 8
"""Replies to one prompt at most; each is a call of the model."""

_IMAGE = (
    r"^(https://([A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]*(:[0-9]+)?([/?#][!-~]*)?"
    r"|data:image/[a-z0-9.+-]+;base64,"
    r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$"
)


_IF_THERE = Field(exclude_if=lambda value: value is None)


def _image_address(url: str) -> str:
    """Leave nothing that could lead a model's server, which fetches it, into its own network.

    So a host is a name, and one of the internet; a number or a login before it is refused.
    """
    host = urlsplit(url).hostname if re.fullmatch(_IMAGE, url) else ""
    if host == "" or (host and is_internal(host)):
        raise ValueError(
            "must be an https: address with the name of a host in the internet, or "
            "data:image/...;base64,..."
        )
    return url


class TextPart(BaseModel):
    """A piece of a message's content."""

    type: Literal["text"]
    text: Text


class RefusalPart(BaseModel):
    """A piece of what a model replied: that it won't."""

    type: Literal["refusal"]
    refusal: Text


class ImageAddress(BaseModel):
    """Where a picture is: elsewhere, or right here."""

    url: Annotated[
        str, AfterValidator(_image_address), Field(json_schema_extra={"pattern": _IMAGE})
    ]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(BaseModel):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageAddress


def _readable(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in {"input_audio", "file"}:
        raise ValueError(f"`{kind}` parts are not supported")
    return part


UserPart = Annotated[
    Annotated[TextPart | ImagePart, Field(discriminator="type")], BeforeValidator(_readable)
]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
CallId = Annotated[Unicode, Field(min_length=1, max_length=256)]


class CalledFunction(BaseModel):
    """What a model asked to be run."""

    name: FunctionName
    arguments: Unicode


class ToolCallIn(BaseModel):
    """A call that a model asked for."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class InstructionMessage(BaseModel):
    """What the model is to be like."""

    role: Literal["system", "developer"]
    content: Text | list[TextPart]


class UserMessage(BaseModel):
    """What someone told the model."""

    role: Literal["user"]
    content: Text | list[UserPart]


class RepliedMessage(BaseModel):
    """What the model replied; it may have said nothing."""

    role: Literal["assistant"]
    content: Text | list[AssistantPart] | None = None
    refusal: Text | None = None
    tool_calls: list[ToolCallIn] | None = None


class ToolMessage(BaseModel):
    """What a call that the model asked for has come to."""

    role: Literal["tool"]
    content: Unicode | list[TextPart]
    tool_call_id: CallId


InputMessage = Annotated[
    InstructionMessage | UserMessage | RepliedMessage | ToolMessage, Field(discriminator="role")
]
"""One message of the prompt."""


class FunctionIn(BaseModel):
    """A function the model may ask to be run."""

    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolIn(BaseModel):
    """A tool the model may use."""

    type: Literal["function"]
    function: FunctionIn


class NamedFunction(BaseModel):
    """A function by its name."""

    name: FunctionName


class NamedTool(BaseModel):
    """A tool by its name: the one the model must use, or one of those it may use."""

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(BaseModel):
    """Some of the tools, and whether one of them must be used."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=128)]


class SomeTools(BaseModel):
    """The only tools the model may use this time."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class TextFormat(BaseModel):
    """Any text."""

    type: Literal["text"]


class JsonFormat(BaseModel):
    """JSON text."""

    type: Literal["json_object"]


class NamedSchema(BaseModel):
    """A JSON Schema and its name."""

    name: FunctionName
    description: Text | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class SchemaFormat(BaseModel):
    """JSON text that fits a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


Format = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]
"""The form a reply must have."""

StopSequence = Annotated[Text, Field(min_length=1)]


class Sampling(BaseModel):
    """How to sample; shared by every request that asks a model."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    seed: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)] | None = None
    stop: StopSequence | Annotated[list[StopSequence], Field(max_length=4)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None


class Using(BaseModel):
    """What the model may use, and what form its reply must have; shared like `Sampling`."""

    tools: Annotated[list[ToolIn], Field(max_length=128)] | None = None
    tool_choice: (
        Literal["none", "auto", "required"]
        | Annotated[NamedTool | SomeTools, Field(discriminator="type")]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )


class StreamOptions(BaseModel):
    """What a stream carries besides the text."""

    include_usage: bool | None = None


class Streaming(BaseModel):
    """Whether and what to stream; shared by every request that can be answered by a stream."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether the stream is to end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class CompletionBody(Sampling, Using, Streaming):
    """POST /v1/chat/completions."""

    model_config = ConfigDict(
        extra="allow",  # to refuse by name what can not be honoured
        json_schema_extra={
            "examples": [
                {
                    "model": "smollm2-135m",
                    "messages": [{"role": "user", "content": "Say hello."}],
                    "stream": True,
                }
            ]
        },
    )

    model: Identifier
    messages: Annotated[list[InputMessage], Field(min_length=1)]
    user: Identifier | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    service_tier: ShortText | None = None


class PromptDetails(BaseModel):
    """Of the prompt's tokens."""

    cached_tokens: int


class CompletionDetails(BaseModel):
    """Of the reply's tokens."""

    reasoning_tokens: int


class UsageOut(BaseModel):
    """Tokens as the model counted them, of all choices together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ToolCallOut(BaseModel):
    """A call the model asks for."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(BaseModel):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: Annotated[str | None, _IF_THERE] = None
    tool_calls: Annotated[list[ToolCallOut] | None, _IF_THERE] = None


class Logprobs(BaseModel):
    """How likely the model took each token of its reply to be."""

    content: list[dict[str, Any]]
    refusal: None = None


class Choice(BaseModel):
    """One reply."""

    index: int
    message: AssistantMessage
    logprobs: Logprobs | None = None
    finish_reason: str
    status: Annotated[Literal["stopped"] | None, _IF_THERE] = None
    """There where somebody stopped the reply, for which OpenAI has no `finish_reason`."""


class CompletionOut(BaseModel):
    """A whole completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: UsageOut | None
    service_tier: Annotated[Literal["default"] | None, _IF_THERE] = None
    metadata: Annotated[dict[str, str] | None, _IF_THERE] = None


class LabelBody(BaseModel):
    """POST /v1/chat/completions/{completion_id}."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metadata": {"topic": "weather", "reviewed": "yes"}}]}
    )

    metadata: Metadata | None


METADATA_QUERY: Mapping[str, Any] = {
    "name": "metadata",
    "in": "query",
    "description": "Only those that have all of this: `metadata[topic]=weather`.",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}
"""A query's parameter, as the OpenAPI document describes it, that FastAPI doesn't know."""


class CompletionList(BaseModel):
    """Some of the stored completions."""

    object: Literal["list"] = "list"
    data: list[CompletionOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredPart(BaseModel):
    """A piece of a stored message's content."""

    type: Literal["text", "image_url"]
    text: Annotated[str | None, _IF_THERE] = None
    image_url: Annotated[dict[str, str] | None, _IF_THERE] = None


class StoredMessage(BaseModel):
    """A message of a stored completion's prompt."""

    id: str
    role: str
    content: str | None
    content_parts: list[StoredPart] | None
    refusal: None = None
    tool_calls: Annotated[list[ToolCallOut] | None, _IF_THERE] = None
    tool_call_id: Annotated[str | None, _IF_THERE] = None


class StoredMessageList(BaseModel):
    """Some of the messages of a stored completion's prompt."""

    object: Literal["list"] = "list"
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None
    has_more: bool


class CompletionDeleted(BaseModel):
    """What is left of a stored completion."""

    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: Literal[True] = True


class ModelOut(BaseModel):
    """A model the caller may name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """Every model the caller may name."""

    object: Literal["list"] = "list"
    data: list[ModelOut]
