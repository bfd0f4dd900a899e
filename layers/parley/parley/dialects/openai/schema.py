"""Requests and replies of Chat Completions, as far as they are understood here.

Unknown fields are ignored, since the SDKs send new ones every month; a known one that can't be
honoured is refused by name, since silence would be a lie.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from parley.dialects.fields import MAX_INTEGER, Identifier, Metadata, Text


class TextPart(BaseModel):
    """A piece of a message's content."""

    type: Literal["text"]
    text: Text


class SpokenMessage(BaseModel):
    """What someone told the model."""

    role: Literal["system", "developer", "user"]
    content: Text | list[TextPart]


class RepliedMessage(BaseModel):
    """What the model replied; it may have said nothing."""

    role: Literal["assistant"]
    content: Text | list[TextPart] | None = None


InputMessage = Annotated[SpokenMessage | RepliedMessage, Field(discriminator="role")]
"""One message of the prompt."""


StopSequence = Annotated[Text, Field(min_length=1)]


class Sampling(BaseModel):
    """How to sample; shared by every request that asks a model."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None
    seed: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)] | None = None
    stop: StopSequence | Annotated[list[StopSequence], Field(max_length=4)] | None = None


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


class CompletionBody(Sampling, Streaming):
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
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    metadata: Metadata | None = None


class UsageOut(BaseModel):
    """Tokens as the model counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AssistantMessage(BaseModel):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """The one choice of a completion."""

    index: int = 0
    message: AssistantMessage
    logprobs: None = None
    finish_reason: str


class CompletionOut(BaseModel):
    """A whole completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: UsageOut | None


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
